import { ruleCovers } from '../domain-name.ts';
import type { Because } from '../facts.ts';
import type { Intent, NameRule } from '../intent.ts';
import type { DnsRule, NameTrigger, SleepingRule } from '../plan.ts';

/** What a question for a name of AutoTrigger can come to while the tunnel of its profile is down. */
export type TriggerReadiness =
  /** It brings the tunnel up, and waits for it unless the settings say that nobody does. */
  | { readonly kind: 'ready'; readonly waits?: false }
  /** No tunnel is to be expected soon, though it is wanted, and why. */
  | { readonly kind: 'trouble'; readonly why: string }
  /** Nothing but a person brings it up now, and why. */
  | { readonly kind: 'off'; readonly why: string };

/**
 * Whether a question for such a name brings the tunnel up. A rule without servers is an exemption and triggers nothing; a connection that is
 * always on needs no trigger.
 */
export function isNameTrigger(intent: Intent, rule: NameRule): boolean {
  return rule.autoTrigger && rule.servers.length > 0 && !intent.alwaysOn.value;
}

/** Of a tunnel that is up. */
export const answeredInside: NameTrigger = { kind: 'up', why: 'the tunnel that AutoTrigger wants is up' };

/**
 * A rule with AutoTrigger while its tunnel is down. As long as a question may bring the tunnel up, the names of such a rule are asked inside or
 * not at all: an answer from outside, which anybody on the way can forge, would be believed as the company's, and whoever stops the tunnel from coming
 * up would have them asked there. `.` is no such secret, and a machine whose gateway is gone must go on: that rule is in force only while
 * a tunnel is to be expected. Put down by a person, or on a trusted network, none of them is.
 */
function decideNameTrigger(
  { name }: NameRule,
  readiness: TriggerReadiness,
): NameTrigger | { readonly kind: 'asleep'; readonly why: string } {
  switch (readiness.kind) {
    case 'ready':
      return readiness.waits === false
        ? { kind: 'refuse', why: 'the question brings the tunnel up, and nothing waits for it (trigger-hold is false)' }
        : { kind: 'wait', why: 'the question brings the tunnel up and waits for it' };
    case 'trouble':
      return name === '.' ? { kind: 'asleep', why: readiness.why } : { kind: 'refuse', why: readiness.why };
    case 'off':
      return { kind: 'asleep', why: readiness.why };
  }
}

/** Rules of a profile whose tunnel is down, and those of them that are out of force. */
export function idleRules(
  intent: Intent,
  readiness: TriggerReadiness,
): { readonly rules: readonly DnsRule[]; readonly asleep: readonly SleepingRule[] } {
  const rules: DnsRule[] = [];
  const asleep: SleepingRule[] = [];
  /** What is exempted from a rule is no trigger. */
  const active = intent.nameRules
    .filter((rule) => isNameTrigger(intent, rule) && decideNameTrigger(rule, readiness).kind !== 'asleep')
    .map(({ name }) => name);
  for (const rule of intent.nameRules) {
    const { name, servers, persistent } = rule;
    const add = (because: Because, trigger?: NameTrigger): void =>
      void rules.push({ name, servers, profile: intent.name, because, instead: [], ...(trigger && { trigger }) });
    if (isNameTrigger(intent, rule)) {
      const decided = decideNameTrigger(rule, readiness);
      if (decided.kind !== 'asleep') {
        add({ ...rule.because, why: `${rule.because.why}, AutoTrigger` }, decided);
        continue;
      }
      if (!persistent) asleep.push({ name, because: rule.because, why: decided.why });
    }
    const wider =
      rule.servers.length === 0 && !persistent ? active.find((one) => ruleCovers(one, name.replace(/^\./, ''))) : undefined;
    if (wider !== undefined) add({ ...rule.because, why: `${rule.because.why} from ${wider}` });
    if (persistent) add({ ...rule.because, why: `${rule.because.why}, Persistent while the tunnel is down` });
  }
  return { rules, asleep };
}
