import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { decideEnrolment, type EnrolmentFacts, type LastTry } from '../../src/enrolment/decide-enrolment.ts';
import { problemOfEnrolment } from '../../src/enrolment/enrolment-problem.ts';

const hour = 3_600_000;
const day = 24 * hour;
const now = 1_800_000_000_000;
const certificate = { notBefore: now - 10 * day, notAfter: now + 20 * day };
const facts: EnrolmentFacts = { hasSecret: false, renewBefore: 1 / 3, spread: 0 };
const last = (outcome: LastTry['outcome'], more: Partial<LastTry> = {}): LastTry => ({
  at: now,
  outcome,
  times: 1,
  random: 0.5,
  ...more,
});

suite('when a certificate is asked for', () => {
  test('at once, when there is none and a secret; never without one', () => {
    assert.deepEqual(decideEnrolment({ ...facts, hasSecret: true }, now), {
      kind: 'enrol',
      at: now,
      why: 'there is no certificate yet',
    });
    const stuck = decideEnrolment(facts, now);
    assert.ok(stuck.kind === 'stuck' && stuck.reason === 'no-secret');
    assert.equal(problemOfEnrolment(stuck, undefined)?.code, 'AOV-SUPERVISOR-366');
  });

  test('a third before its end, spread over the first quarter of that', () => {
    const at = (spread: number): number => {
      const plan = decideEnrolment({ ...facts, certificate, spread }, now);
      assert.ok(plan.kind === 'renew');
      return plan.at;
    };
    assert.equal(at(0), certificate.notAfter - 10 * day);
    assert.equal(at(0.5), certificate.notAfter - 8.75 * day);
    assert.equal(at(1), certificate.notAfter - 7.5 * day);
  });

  test('one that has expired renews nothing: a secret does, or somebody has to come', () => {
    const expired = { ...facts, certificate: { notBefore: now - 2 * day, notAfter: now } };
    const stuck = decideEnrolment(expired, now);
    assert.ok(stuck.kind === 'stuck' && stuck.reason === 'expired');
    const found = problemOfEnrolment(stuck, { outcome: 'unreachable', detail: 'no route' });
    assert.deepEqual([found?.code, found?.side], ['AOV-SUPERVISOR-367', 'certificate']);
    assert.equal(decideEnrolment({ ...expired, hasSecret: true }, now).kind, 'enrol');
  });

  test('a secret that was refused is not tried again, and stops no renewal', () => {
    const refused = { ...facts, hasSecret: true, last: last('secret-refused') };
    const stuck = decideEnrolment(refused, now + 400 * day);
    assert.ok(stuck.kind === 'stuck' && stuck.reason === 'secret-refused');
    assert.equal(problemOfEnrolment(stuck, { outcome: 'secret-refused', detail: 'HTTP 401' })?.code, 'AOV-SUPERVISOR-362');
    assert.equal(decideEnrolment({ ...refused, certificate }, now).kind, 'renew');
  });

  test('after a failure more and more seldom, to six hours; not before the server wants it', () => {
    const wait = (more: Partial<LastTry>): number => {
      const plan = decideEnrolment({ ...facts, hasSecret: true, last: last('unreachable', more) }, now);
      assert.ok(plan.kind === 'enrol');
      return plan.at - now;
    };
    assert.deepEqual(
      [1, 2, 3, 4].map((times) => wait({ times })),
      [60_000, 120_000, 240_000, 480_000],
    );
    assert.equal(wait({ times: 50 }), 6 * hour);
    assert.equal(wait({ times: 50, random: 0 }), 3 * hour);
    assert.equal(wait({ retryAfter: hour }), hour);
    assert.equal(wait({ retryAfter: 100 * day }), day);
  });

  test('what is pending is asked for when the server said', () => {
    const plan = decideEnrolment({ ...facts, hasSecret: true, last: last('pending', { times: 20, retryAfter: 600_000 }) }, now);
    assert.ok(plan.kind === 'enrol');
    assert.equal(plan.at, now + 600_000);
    assert.equal(problemOfEnrolment(plan, { outcome: 'pending', detail: '' })?.code, 'AOV-SUPERVISOR-368');
  });

  test('a renewal that fails is tried several times before the certificate ends, however that goes', () => {
    const outcomes = ['unreachable', 'untrusted', 'refused', 'unusable', 'host', 'pending'] as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...outcomes),
        fc.integer({ min: 300_000, max: 400 * day }),
        fc.double({ min: 0.05, max: 0.9, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.option(fc.integer({ min: 0, max: 400 * day }), { nil: undefined }),
        (outcome, life, renewBefore, random, retryAfter) => {
          const mine = { notBefore: now, notAfter: now + life };
          const plan = decideEnrolment({ ...facts, certificate: mine, renewBefore, spread: random }, now);
          assert.ok(plan.kind === 'renew');
          let at = plan.at;
          let tries = 0;
          for (; tries < 1000; tries++) {
            const next = decideEnrolment(
              { ...facts, certificate: mine, renewBefore, spread: random, last: last(outcome, { at, times: tries + 1, random }) },
              at,
            );
            if (next.kind !== 'renew' || next.at >= mine.notAfter) break;
            assert.ok(next.at >= at + 5_000 || tries === 0);
            at = next.at;
          }
          assert.ok(tries >= 2, `${tries} tries in ${life} ms`);
          const asked = decideEnrolment(
            {
              ...facts,
              certificate: mine,
              renewBefore,
              spread: random,
              last: last(outcome, { at: plan.at, ...(retryAfter !== undefined && { retryAfter }) }),
            },
            plan.at,
          );
          assert.ok(asked.kind === 'renew' && asked.at < mine.notAfter);
        },
      ),
    );
  });
});
