/**
 * What people see (lines of the log, the trace of messages, the status) is made in its order once the event loop has done what came in: a gateway that
 * waits for our answer does not wait for them.
 */
export class Later {
  readonly #jobs: (() => void)[] = [];
  #isRunning = false;

  /** Runs the job behind those before it; at once where it comes out of one of them. */
  do(job: () => void): void {
    if (this.#isRunning) return job();
    this.#jobs.push(job);
    if (this.#jobs.length === 1) setImmediate(() => this.flush());
  }

  /** Runs all of them now: before anybody reads what they make, and before the process ends. */
  flush(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) job();
    } finally {
      this.#isRunning = false;
    }
  }
}
