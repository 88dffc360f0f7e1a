export { main } from './main.ts';
export { program } from './program.ts';
export { manPage } from './print/man.ts';
