import type { Prompt } from '@aovpn/api';
import { answerPrompt, sendAnswer } from '../answer-prompt.ts';
import type { Client } from '../client.ts';
import { ExitCode, type Command } from '../command.ts';
import { promptLines } from '../print/prompt.ts';

/** Whoever comes may be what a connection was waiting for; its question follows within so long after the daemon has heard of it, milliseconds. */
const arrivalMs = 3_000;

export const prompt: Command = {
  name: 'prompt',
  summary: 'answer what the daemon asks: passwords, one-time codes, PINs, unknown servers',
  description: [
    'Shows what waits for a person and sends the answers. What is typed is not shown; an empty answer refuses. Root may answer, and the users that prompt-users in aovpn.toml names.',
    'Where standard input is no terminal, each answer is a line of it. A connection that gave up because nobody was there tries again as soon as somebody is.',
  ],
  positionals: [{ name: 'NAME', optional: true, complete: 'connection' }],
  options: [
    { name: 'list', short: 'l', summary: 'show what waits, and answer nothing' },
    { name: 'json', summary: 'show what waits as JSON, and answer nothing' },
    { name: 'refuse', summary: 'refuse all that waits' },
    { name: 'watch', short: 'w', summary: 'stay, and ask as questions come, until interrupted' },
  ],
  examples: [
    { command: 'aovpn prompt', what: 'answer what waits now' },
    { command: 'aovpn prompt --refuse "Contoso User"', what: 'let a connection give up' },
  ],
  async run({ client, options, positionals, terminal }) {
    const mine = (one: Prompt): boolean => positionals[0] === undefined || one.connection === positionals[0];
    if (options['list'] === true || options['json'] === true || options['refuse'] === true) {
      const waiting = (await client.call('GET /v1/prompts')).filter(mine);
      if (options['json'] === true) terminal.out(JSON.stringify(waiting, null, 2));
      if (options['refuse'] === true) {
        for (const { id } of waiting) await sendAnswer(id, { answer: 'refuse' }, client, terminal);
        if (options['json'] !== true) terminal.out(`${waiting.length} refused`);
      } else if (options['json'] !== true) {
        terminal.out(waiting.length === 0 ? nothing : waiting.flatMap((one) => promptLines(one, terminal)).join('\n'));
      }
      return ExitCode.done;
    }
    let answered = 0;
    for await (const one of questions(client, options['watch'] === true)) {
      if (mine(one) && (await answerPrompt(one, client, terminal))) answered++;
    }
    if (answered === 0) terminal.err(nothing);
    return ExitCode.done;
  },
};

const nothing = 'nothing waits for an answer';

/** Every question as it comes, each once; without `stay`, until none has come for a while. */
async function* questions(client: Client, stay: boolean): AsyncIterable<Prompt> {
  const stop = new AbortController();
  const waiting: Prompt[] = [];
  let wake = Promise.withResolvers<void>();
  let failure: unknown;
  let over = false;
  const heard = Promise.withResolvers<void>();
  const listen = async (): Promise<void> => {
    for await (const event of client.stream('/v1/events?prompts=1', stop.signal, heard.resolve)) {
      if (event.kind === 'prompt') waiting.push(event.prompt);
      else if (event.kind === 'prompt-over') {
        const index = waiting.findIndex(({ id }) => id === event.id);
        if (index >= 0) waiting.splice(index, 1);
      } else continue;
      wake.resolve();
    }
  };
  const listening = listen()
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => {
      over = true;
      wake.resolve();
    });
  try {
    await Promise.race([heard.promise, listening]);
    for (;;) {
      const next = waiting.shift();
      if (next) {
        yield next;
        continue;
      }
      if (over) break;
      wake = Promise.withResolvers();
      const timer = stay ? undefined : setTimeout(() => wake.resolve(), arrivalMs);
      await wake.promise;
      clearTimeout(timer);
      if (!stay && waiting.length === 0) break;
    }
  } finally {
    stop.abort();
    await listening;
  }
  // oxlint-disable-next-line typescript/only-throw-error -- what the stream threw
  if (failure !== undefined) throw failure;
}
