export type * from './contract.ts';
export type { Candidate } from './candidate.ts';
export { problem, problemCatalogue, type ProblemName } from './problem-catalogue.ts';
export { problemOf, problemOfEnd, problemOfHost, type AuthenticationKind } from './problem-of.ts';
export type { Problem, ProblemRow, Retry, Side } from './problem.ts';
export { startSupervisor, stepSupervisor, supervisorTimes } from './step.ts';
export { viewConnection, viewSupervisor, type ConnectionView } from './view.ts';
