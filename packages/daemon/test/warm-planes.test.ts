import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { DataPlane, DataPlaneEvent, DataPlaneOptions } from '@aovpn/esp';
import { WarmPlanes } from '../src/warm-planes.ts';

suite('data planes that are opened before anybody needs them', () => {
  interface Opened {
    readonly device: string;
    isOpen: boolean;
    readonly tell: (event: DataPlaneEvent) => void;
    readonly plane: DataPlane;
  }
  let opened: Opened[];
  let warm: WarmPlanes;
  beforeEach(() => {
    opened = [];
    warm = new WarmPlanes((options, onEvent) => {
      const one: Opened = {
        device: options.device,
        isOpen: true,
        tell: onEvent,
        plane: {
          close: () => {
            one.isOpen = false;
            return Promise.resolve();
          },
        } as DataPlane,
      };
      opened.push(one);
      return Promise.resolve(one.plane);
    });
  });
  const optionsOf = (name: string): DataPlaneOptions => ({ device: `aov-${name}`, mtu: 1380, mark: 1, keepaliveSeconds: 20 });
  const isOpen = (): readonly boolean[] => opened.map((one) => one.isOpen);

  test('one is taken, tells whoever has taken it, and is not closed with the others', async () => {
    warm.keep(['corp', 'lab'], [], [], optionsOf);
    warm.keep(['corp', 'lab'], [], [], optionsOf);
    assert.deepEqual(
      opened.map(({ device }) => device),
      ['aov-corp', 'aov-lab'],
    );
    // It is being brought up, and takes a moment until it needs the plane.
    warm.keep(['lab'], [], ['corp'], optionsOf);
    const told: DataPlaneEvent[] = [];
    const plane = await warm.taking('corp')(optionsOf('corp'), (event) => told.push(event));
    assert.equal(plane, opened[0]!.plane);
    opened[0]!.tell({ kind: 'path-error', code: 'ENETUNREACH' });
    assert.equal(told.length, 1);
    warm.keep(['lab'], [], ['corp'], optionsOf);
    await warm.close();
    assert.deepEqual(isOpen(), [true, false]);
    assert.equal(opened.length, 2);
  });

  test('while nothing waits for a trigger there is one for what may come up next, and it is given to that', async () => {
    warm.keep([], ['a', 'b'], [], (name) => (name === 'a' ? undefined : optionsOf(name)));
    warm.keep([], ['a', 'b'], [], (name) => (name === 'a' ? undefined : optionsOf(name)));
    assert.deepEqual(
      opened.map(({ device }) => device),
      ['aov-b'],
    );
    warm.keep([], ['a'], ['b'], optionsOf);
    assert.equal(await warm.taking('b')(optionsOf('b'), () => {}), opened[0]!.plane);
    warm.keep([], [], [], optionsOf);
    await turn();
    assert.deepEqual(isOpen(), [true]);
  });

  test('nobody waits for it any more: it is closed', async () => {
    warm.keep(['corp'], [], [], optionsOf);
    warm.keep([], [], [], optionsOf);
    await turn();
    assert.deepEqual(isOpen(), [false]);
  });

  test('other options than it was opened with, or its end: another one is opened', async () => {
    warm.keep(['corp', 'lab'], [], [], optionsOf);
    await warm.taking('corp')({ ...optionsOf('corp'), mtu: 1300 }, () => {});
    opened[1]!.tell({ kind: 'fatal', code: 'AOV-HOST-220', what: 'the worker ended' });
    await warm.taking('lab')(optionsOf('lab'), () => {});
    await turn();
    assert.deepEqual(isOpen(), [false, false, true, true]);
  });

  test('two at the most, and none where none is wanted', () => {
    warm.keep(['a', 'kernel', 'b', 'c'], [], [], (name) => (name === 'kernel' ? undefined : optionsOf(name)));
    assert.deepEqual(
      opened.map(({ device }) => device),
      ['aov-a', 'aov-b'],
    );
  });
});
