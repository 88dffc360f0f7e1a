export { runLeakTest, type LeakTestDaemon, type LeakTestOptions, type LeakTestProgress } from './run-leak-test.ts';
export { allSteps, defaultSteps, type StepName } from './step.ts';
