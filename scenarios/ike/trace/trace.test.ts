// What a protocol engineer sees of IKE: decoded messages without secrets for who may look, and with keys, for root who was allowed to, in a real Wireshark.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { TraceMessage } from '@aovpn/api';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage, users } from '../../../lab/stage.ts';

suite('ike/trace', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'] });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const file = (name: string): string => path.join(stage.world.client.directory, 'home', name);
  const aovpn = (...args: string[]): ReturnType<Stage['product']['aovpn']> => stage.product.aovpn(args);
  async function messages(...args: string[]): Promise<TraceMessage[]> {
    const { stdout } = await aovpn('trace', '--json', ...args);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TraceMessage);
  }

  test('a handshake with EAP, decoded to its methods, and nothing secret in it', async () => {
    const { product } = stage;
    await product.put('traced', mschapv2Profile(), stage.user());
    await product.waitForState('traced', 'up');
    const { stdout } = await aovpn('trace', 'traced');
    for (const word of [
      /--> IKE_SA_INIT request 0 \(I\)/,
      /<-- IKE_AUTH response \d/,
      /EAP Request \d+ EAP-MSCHAPv2 Challenge/,
      /EAP Response \d+ EAP-MSCHAPv2 Response/,
      /EAP Success \d+/,
      /ENCR .*AES-GCM-16/,
      /N\(MOBIKE_SUPPORTED\)/,
      /CP CFG_REPLY/,
      /TSr /,
      /after [\d.]+ ms/,
    ])
      assert.match(stdout, word);
    const json = JSON.stringify(await messages('traced'));
    for (const secret of [
      users.alice,
      Buffer.from(users.alice).toString('hex'),
      Buffer.from(users.alice, 'utf16le').toString('hex'),
    ])
      assert.ok(!json.includes(secret) && !stdout.includes(secret));
    const log = (await aovpn('logs', 'traced')).stdout;
    assert.match(log, /IKE_SA_INIT 0 --> SA KE Nonce .* <-- SA KE Nonce/);
    assert.match(log, /IKE_AUTH \d+ --> EAP <-- EAP \([\d]+ ms\)/);
    assert.ok(!log.includes(users.alice));
    await stage.strike('traced');
  });

  test('the last ones, one line each, and what comes', async () => {
    const { product, world } = stage;
    await product.put('traced', certificateProfile(), stage.machine());
    await product.waitForState('traced', 'up');
    assert.equal((await aovpn('trace', 'traced', '--brief', '-n', '2')).stdout.trim().split('\n').length, 2);
    const follower = world.client.spawn(product.command(['trace', '-f', '-n', '1', '--brief', 'traced']), { name: 'trace' });
    // The last one before it: it listens.
    await follower.saysWithin(/IKE_AUTH/);
    await world.gateway.rekey('child');
    await follower.saysWithin(/<-- CREATE_CHILD_SA request .*N\(REKEY_SA\)/);
    await follower.stop('SIGINT');
    await stage.strike('traced');
  });

  test('keys are for nobody, unless the settings say so', async () => {
    const refused = await aovpn('trace', '--secrets', '--pcap', file('no.pcap'), '--keys', file('no'));
    assert.equal(refused.status, 4);
    assert.match(refused.stderr, /AOV-DAEMON-521/);
    assert.ok(!existsSync(file('no.pcap')) && !existsSync(file('no')));
  });

  test('with allow-key-export a real Wireshark reads IKE and ESP; without the keys it does not', async () => {
    const { product, world } = stage;
    await product.settings('[daemon]\nallow-key-export = true\n');
    const [pcap, keys] = [file('ike.pcap'), file('keys')];
    const exporter = world.client.spawn(product.command(['trace', '--secrets', '--pcap', pcap, '--keys', keys]), {
      name: 'export',
    });
    await product.daemon.saysWithin(/keys of every connection are being handed to process \d+/);
    const capture = await world.capture();
    await product.put('exported', certificateProfile(), stage.machine());
    await product.waitForState('exported', 'up');
    await exporter.saysWithin(/key of ESP SA/);
    assert.match((await world.application.fetch(`http://${network.corp.web}/`)).body, new RegExp(canary));
    await capture.stop();
    await exporter.stop('SIGINT');
    assert.match(exporter.output(), /WARNING: these files open everything/);
    assert.match((await aovpn('logs')).stdout, /keys of every connection are being handed to process \d+/);
    for (const one of [pcap, path.join(keys, 'ikev2_decryption_table'), path.join(keys, 'esp_sa')])
      assert.equal(statSync(one).mode & 0o777, 0o600, one);
    assert.equal(statSync(keys).mode & 0o777, 0o700);

    // One that is there already is not overwritten.
    const before = readFileSync(pcap);
    const again = world.client.spawn(product.command(['trace', '--secrets', '--pcap', pcap]), { name: 'again' });
    await again.saysWithin(/cannot be made/);
    assert.deepEqual(readFileSync(pcap), before);

    const tshark = async (capture: string, config: string, ...more: string[]): Promise<string> =>
      await world.client.exec(['env', `WIRESHARK_CONFIG_DIR=${config}`, 'tshark', '-r', capture, ...more], {
        timeoutMs: 240_000,
      });
    const ike = await tshark(pcap, keys, '-V', '-d', 'udp.port==4500,udpencap');
    assert.match(ike, /Exchange type: IKE_AUTH/);
    assert.match(ike, /Decrypted Data/);
    assert.match(ike, /Payload: Traffic Selector - Initiator/);
    assert.match(ike, /UPDATE_SA_ADDRESSES|MOBIKE_SUPPORTED/);
    const blind = await tshark(pcap, file('nothing'), '-V', '-d', 'udp.port==4500,udpencap');
    assert.match(blind, /Exchange type: IKE_AUTH/);
    assert.doesNotMatch(blind, /Traffic Selector - Initiator|MOBIKE_SUPPORTED/);

    // Both directions: what was asked, and the answer.
    const espOptions = ['-o', 'esp.enable_encryption_decode:TRUE', '-d', 'udp.port==4500,udpencap', '-Y', 'tcp', '-x'];
    const inside = await tshark(capture.file, keys, ...espOptions);
    for (const word of ['GET / HTTP', '200 OK']) assert.ok(hexdumpHas(inside, word), word);
    assert.ok(!hexdumpHas(await tshark(capture.file, file('nothing'), ...espOptions), 'GET / HTTP'));
    await stage.strike('exported');
    await product.settings('');
  });
});

/** Whether the octets that `tshark -x` shows contain a text. */
function hexdumpHas(dump: string, text: string): boolean {
  const octets = [...dump.matchAll(/^[\da-f]{4,}  ((?:[\da-f]{2} ?){1,16})/gm)]
    .map((match) => match[1]!.replaceAll(' ', ''))
    .join('');
  return octets.includes(Buffer.from(text).toString('hex'));
}
