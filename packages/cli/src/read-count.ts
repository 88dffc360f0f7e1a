import { CommandError, ExitCode } from './command.ts';

/** The number of `--lines`. @throws {CommandError} */
export function readCount(text: string): string {
  if (/^\d{1,6}$/.test(text)) return text;
  throw new CommandError(ExitCode.usage, `--lines needs a number, not "${text}"`);
}
