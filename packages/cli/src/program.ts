import type { Command } from './command.ts';
import { appLearn } from './command/app-learn.ts';
import { appList } from './command/app-list.ts';
import { appWhich } from './command/app-which.ts';
import { certificateEnrol, certificateList, certificateRenew } from './command/certificate.ts';
import { completion } from './command/completion.ts';
import { diff } from './command/diff.ts';
import { doctor } from './command/doctor.ts';
import { down } from './command/down.ts';
import { env } from './command/env.ts';
import { explain } from './command/explain.ts';
import { explainCertificate } from './command/explain-certificate.ts';
import { leaktest } from './command/leaktest.ts';
import { lockdownEngage, lockdownRelease } from './command/lockdown.ts';
import { logs } from './command/logs.ts';
import { man } from './command/man.ts';
import { plan } from './command/plan.ts';
import { portalClose, portalOpen, portalStatus } from './command/portal.ts';
import { profileAdd } from './command/profile-add.ts';
import { profileLint } from './command/profile-lint.ts';
import { profileList } from './command/profile-list.ts';
import { profileRemove } from './command/profile-remove.ts';
import { profileShow } from './command/profile-show.ts';
import { prompt } from './command/prompt.ts';
import { rekey } from './command/rekey.ts';
import { session } from './command/session.ts';
import { sessionClose, sessionOpen } from './command/session-announce.ts';
import { status } from './command/status.ts';
import { trace } from './command/trace.ts';
import { up } from './command/up.ts';
import { waitOnline } from './command/wait-online.ts';

/** All commands, in the order in which help lists them. */
export const program: readonly Command[] = [
  status,
  up,
  down,
  rekey,
  waitOnline,
  lockdownRelease,
  lockdownEngage,
  prompt,
  portalStatus,
  portalOpen,
  portalClose,
  profileAdd,
  profileList,
  profileShow,
  profileLint,
  profileRemove,
  certificateList,
  certificateEnrol,
  certificateRenew,
  explain,
  explainCertificate,
  plan,
  diff,
  appList,
  appWhich,
  appLearn,
  doctor,
  leaktest,
  env,
  session,
  sessionOpen,
  sessionClose,
  logs,
  trace,
  completion,
  man,
];
