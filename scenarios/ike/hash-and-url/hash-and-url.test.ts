// Certificates by hash and URL (RFC 7296 §3.6), both ways, against strongSwan: where the settings say so, from where they say so, and not otherwise.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { canary, network } from '../../../lab/network.ts';
import type { Issued } from '../../../lab/pki/authority.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const base = `http://${network.internet.web4}/certs/`;
const der = ({ certificatePem }: Issued): Buffer => new X509Certificate(certificatePem).raw;
const sha1 = (octets: Uint8Array): string => createHash('sha1').update(octets).digest('hex');

suite('ike/hash-and-url', () => {
  let stage: Stage;
  let gatewayName: string;
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey'], certificateUrlBase: base });
    const { world } = stage;
    const certificate = world.pki.gateway();
    await world.gateway.configure({ certificate });
    gatewayName = sha1(der(certificate));
    world.router.write(`/run/pki/${gatewayName}`, der(certificate));
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** Connects, and fetches a page of the company. */
  async function connects(settings: string, machine = stage.machine()): Promise<void> {
    const { product, world } = stage;
    await product.settings(settings);
    await product.put('corp', certificateProfile(), machine);
    await product.waitForState('corp', 'up');
    assert.match((await world.application.fetch(`http://${network.corp.web}/`)).body, new RegExp(canary));
  }
  const said = (): string => stage.product.daemon.output();

  test('without the setting it is not offered, and the gateway sends its certificate as it is', async () => {
    await connects('');
    assert.doesNotMatch(said(), /N\(HTTP_CERT_LOOKUP_SUPPORTED\)[^\n]*<--/, 'not said by us');
    assert.doesNotMatch(stage.world.gateway.log(), /sending hash-and-url/);
    await stage.strike('corp');
  });

  test('with it the gateway says where its certificate is, and it is fetched from there and checked as always', async () => {
    await connects(`[profile.corp]\ncertificate-urls = ["${base}"]\n`);
    assert.match(stage.world.gateway.log(), new RegExp(`sending hash-and-url "${base}${gatewayName}"`));
    assert.match(said(), /N\(HTTP_CERT_LOOKUP_SUPPORTED\)[^\n]*<-- IDr CERT /);
    await stage.strike('corp');
  });

  test('from elsewhere nothing is fetched, and there is no connection', async () => {
    const { product } = stage;
    await product.settings(`[profile.corp]\ncertificate-urls = ["http://${network.internet.web4}/other/"]\n`);
    await product.put('corp', certificateProfile(), stage.machine());
    const { problem } = await product.waitForProblem('corp');
    assert.match(JSON.stringify(problem), /not below what certificate-urls of the settings allows/);
    await stage.strike('corp');
  });

  test('what is there is not what the gateway meant: refused', async () => {
    const { product, world } = stage;
    world.router.write(`/run/pki/${gatewayName}`, der(world.pki.machine()));
    await product.settings(`[profile.corp]\ncertificate-urls = ["${base}"]\n`);
    await product.put('corp', certificateProfile(), stage.machine());
    const { problem } = await product.waitForProblem('corp');
    assert.match(JSON.stringify(problem), /another digest than the gateway says/);
    await stage.strike('corp');
  });

  test('our own certificate goes by hash and URL, and the gateway fetches it', async () => {
    const { world } = stage;
    // One that it has not seen: what it knows by its digest it does not fetch.
    const issued = world.pki.machine('p384', 'new-laptop.corp.example');
    world.router.write('/run/pki/laptop.der', der(issued));
    await connects(`[profile.corp]\ncertificate-url = "${base}laptop.der"\n`, stage.machine(issued));
    assert.match(world.gateway.log(), new RegExp(`received hash-and-url for end entity cert "${base}laptop.der"`));
    await stage.strike('corp');
  });
});
