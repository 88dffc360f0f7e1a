import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { established, establishedEap } from '../../testkit/conversation.ts';

suite('IKE_AUTH', () => {
  test('certificate', () => {
    const { client, responder } = established();
    assert.equal(client.count('established'), 1);
    assert.equal(client.children.size, 1);
    assert.equal(responder.children.size, 1);
  });
  test('EAP', () => {
    const { client } = establishedEap();
    assert.equal(client.count('established'), 1);
  });
});
