import { homedir } from 'node:os';
import process from 'node:process';
import { proxyNoticeFile } from '@aovpn/api';
import { ExitCode, type Command } from '../command.ts';
import { SessionAgent } from '../session/session-agent.ts';

export const session: Command = {
  name: 'session',
  summary: 'keep the desktop’s proxy settings as the tunnel wants them',
  description: [
    'Runs in a person’s session, as that person, and is started by the desktop (/etc/xdg/autostart/aovpn-session.desktop). While a tunnel with a proxy is up, the proxy settings of GNOME and KDE are the tunnel’s; when it goes, or the daemon dies, they are what they were before. What the person changes meanwhile stays.',
    'It needs dconf for GNOME’s settings.',
  ],
  positionals: [],
  options: [
    { name: 'once', summary: 'do what is to be done now, and end' },
    { name: 'undo', summary: 'give back what was there before, and end' },
  ],
  examples: [{ command: 'aovpn session --undo', what: 'take the tunnel’s proxy out of the settings' }],
  async run({ options, terminal }) {
    const agent = new SessionAgent({
      noticeFile: proxyNoticeFile,
      home: homedir(),
      environment: process.env,
      say: (text) => terminal.out(text),
    });
    if (options['once'] === true || options['undo'] === true) {
      await agent.refresh(options['undo'] === true);
      agent.pause();
      return ExitCode.done;
    }
    const { promise: asked, resolve: stop } = Promise.withResolvers<void>();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop());
    await agent.start();
    await asked;
    await agent.stop();
    return ExitCode.done;
  },
};
