import { equal } from '@aovpn/bytes';
import { secretPromptKinds, type Prompt, type PromptAnswer } from '@aovpn/api';
import { askLine, askSecret, canAsk } from './ask.ts';
import { RefusedError, type Client } from './client.ts';
import { CommandError, ExitCode } from './command.ts';
import { promptLines } from './print/prompt.ts';
import type { Terminal } from './terminal.ts';

/** Shows a question and sends the answer. An empty answer refuses. False: somebody else was faster, or it took too long. */
export async function answerPrompt(prompt: Prompt, client: Client, terminal: Terminal): Promise<boolean> {
  for (const line of promptLines(prompt, terminal)) terminal.err(line);
  const answer = secretPromptKinds.includes(prompt.kind) ? await secretAnswer(prompt, terminal) : await plainAnswer(prompt);
  return await sendAnswer(prompt.id, answer, client, terminal);
}

/** Octets are overwritten. False: nobody waits for it any more. */
export async function sendAnswer(
  id: string,
  answer: PromptAnswer | Uint8Array,
  client: Client,
  terminal: Terminal,
): Promise<boolean> {
  try {
    await client.call('POST /v1/prompts/:id', { name: id, body: answer });
    return true;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.answer.code !== 'AOV-DAEMON-520') throw error;
    terminal.err(`${error.answer.message}.`);
    return false;
  } finally {
    if (answer instanceof Uint8Array) answer.fill(0);
  }
}

async function secretAnswer({ kind }: Prompt, terminal: Terminal): Promise<PromptAnswer | Uint8Array> {
  for (;;) {
    const first = await askSecret(labels[kind] ?? 'answer');
    if (!first) return { answer: 'refuse' };
    if (kind !== 'new-password' || !canAsk()) return first;
    const second = await askSecret('once more');
    const same = second !== undefined && equal(first, second);
    second?.fill(0);
    if (same) return first;
    first.fill(0);
    terminal.err('The two differ; once again from the start.');
  }
}

const labels: { readonly [K in Prompt['kind']]?: string } = {
  password: 'password',
  'new-password': 'new password',
  token: 'code',
  pin: 'PIN',
};

async function plainAnswer({ kind, choices = [] }: Prompt): Promise<PromptAnswer> {
  if (kind === 'trust') {
    const said = await askLine('trust it? Type "yes" if these are the numbers that your administrator gave you:');
    return { answer: said.toLowerCase() === 'yes' ? 'accept' : 'refuse' };
  }
  const said = await askLine('number:');
  if (said === '') return { answer: 'refuse' };
  const choice = choices[Number(said) - 1];
  if (!choice) throw new CommandError(ExitCode.usage, `there is no choice "${said}"`, `a number from 1 to ${choices.length}`);
  return { answer: 'choose', choice: choice.id };
}
