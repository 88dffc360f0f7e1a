export { main } from './main.ts';
export { loadProgram } from './program.ts';
export { manPage } from './print/man.ts';
export { liveLines, eventText } from './print/live.ts';
export { LiveHistory, LiveRates } from './live-history.ts';
