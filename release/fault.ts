// First in both programs of a release: what Node prints about a fault names files and lines of the sources.
import process from 'node:process';
import { stackOf } from '../packages/host/src/platform/stack-trace.ts';

process.on('uncaughtExceptionMonitor', (error) => {
  if (error instanceof Error) error.stack = stackOf(error);
});
