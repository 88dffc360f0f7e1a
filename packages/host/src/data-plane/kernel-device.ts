import { parseAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import type { HostError } from '../host-error.ts';
import { deleteLinkRequest } from '../network/kernel-network.ts';
import type { RouteRequest, RouteSocket } from '../network/route-socket.ts';
import { libc } from '../sys/index.ts';
import { admitRequests, guardRequests, readTurnedAway } from '../xfrm/device-guard.ts';
import { closePlugs, openPlugs, plugRequests } from '../xfrm/device-plug.ts';
import type { TunnelTag } from '../xfrm/tunnel-tag.ts';
import { moveVtiRequest, newVtiRequest } from '../xfrm/vti-device.ts';
import { newDeviceRequest, readRefusals, setJoinedPackets, withoutLinkLocal, type DeviceRefusals } from '../xfrm/xfrm-device.ts';
import { dataPlaneError } from './data-plane-error.ts';
import { checkDevice } from './tun-device.ts';

/**
 * The device of one tunnel of the kernel plane, with its guard: an XFRM interface, or where a tunnel goes by its mark a VTI device. That one has the
 * outer address of ours, moves with it, and is of the family outside.
 */
export class KernelDevice {
  readonly #routes: RouteSocket;
  readonly #name: string;
  readonly #mtu: number;
  readonly #tag: TunnelTag;
  #index: number | undefined;
  #local: IpAddress;
  #isInUse = false;
  #isHolding = false;

  constructor(routes: RouteSocket, { device, mtu }: { readonly device: string; readonly mtu: number }, tag: TunnelTag) {
    this.#routes = routes;
    this.#name = device;
    this.#mtu = mtu;
    this.#tag = tag;
    // Of nobody, and one for each tunnel, until there is a path.
    this.#local = parseAddress(`127.118.${(tag.id >> 8) & 0xff}.${tag.id & 0xff}`)!;
  }

  get isOpen(): boolean {
    return this.#index !== undefined;
  }

  /** In the namespace of the route socket. @throws {HostError} */
  open(): void {
    if (this.#index !== undefined) return;
    const [name, mtu] = [this.#name, this.#mtu];
    checkDevice(name, mtu);
    const { by, id } = this.#tag;
    const request = by === 'interface' ? newDeviceRequest(name, mtu, id) : newVtiRequest(name, mtu, id, this.#local);
    const [answer] = this.#routes.request([request]);
    if (!answer!.ok) throw this.#refused(answer!);
    // Asked in the namespace in which the device was made.
    const index = libc.interfaceIndex(name);
    this.#index = index;
    // A kernel without IPv6 refuses, and has nothing to leave out.
    this.#routes.request([withoutLinkLocal(index)]);
    this.#must('guarding the device', guardRequests(index));
    // A kernel without such queues refuses: then nothing is held.
    this.#routes.request(plugRequests(index));
  }

  /** Before anything else moves. @throws {HostError} where the device could not follow to an address of that family */
  checkFamily(family: IpAddress['family']): void {
    if (this.#tag.by === 'interface' || !this.#isInUse || family === this.#local.family) return;
    throw dataPlaneError('kernelRefused', 'a tunnel by marks cannot change between IPv4 and IPv6 outside');
  }

  /** Our outer address is another one. @throws {HostError} */
  follow(local: IpAddress): void {
    if (this.#tag.by === 'interface' || sameAddress(local, this.#local)) return;
    this.checkFamily(local.family);
    const sameFamily = local.family === this.#local.family;
    this.#local = local;
    if (this.#index === undefined) return;
    if (sameFamily) {
      const [answer] = this.#routes.request([moveVtiRequest(this.#index, this.#mtu, this.#tag.id, local)]);
      if (!answer!.ok) throw this.#refused(answer!);
      return;
    }
    this.remove();
    this.open();
  }

  /** What is routed into the tunnel waits in its device until {@link letGo}, where the kernel can do that. */
  hold(): void {
    if (this.#index === undefined) return;
    this.#isHolding = this.#routes.request(closePlugs(this.#index)).some(({ ok }) => ok);
  }

  /** @throws {HostError} where what waits would wait for ever */
  letGo(): void {
    if (!this.#isHolding || this.#index === undefined) return;
    this.#must('letting go what waits in the device', openPlugs(this.#index));
    this.#isHolding = false;
  }

  /** Lets in what is for these addresses, and nothing else. @throws {HostError} */
  admit(addresses: readonly IpAddress[]): void {
    if (this.#index === undefined) return;
    this.#isInUse ||= addresses.length > 0;
    // Removing what was admitted before fails the first time.
    const [, , ...admit] = this.#routes.request(admitRequests(this.#index, addresses));
    const refused = admit.find((answer) => !answer.ok);
    if (refused && !refused.ok) throw dataPlaneError('kernelRefused', `admitting inner addresses: ${refused.said}`);
  }

  /**
   * Where the path carries less than the device promises, packets come to the kernel's IPsec one at a time.
   * @param fd any socket in the device's namespace
   * @param carries octets of an inner packet
   */
  fit(fd: number, carries: number): void {
    if (this.#index !== undefined) setJoinedPackets(fd, this.#name, carries >= this.#mtu);
  }

  /** What it could not send, by its own counters. */
  refusals(): DeviceRefusals | undefined {
    return this.#index === undefined ? undefined : readRefusals(this.#routes, this.#index);
  }

  /** Packets that the guard turned away. */
  turnedAway(): number {
    return this.#index === undefined ? 0 : readTurnedAway(this.#routes, this.#index);
  }

  /** Somebody removed a device; returns whether it was this one. */
  isGone(index: number): boolean {
    if (index !== this.#index) return false;
    this.#index = undefined;
    return true;
  }

  remove(): void {
    if (this.#index !== undefined) this.#routes.request([deleteLinkRequest(this.#index)]);
    this.#index = undefined;
    this.#isHolding = false;
  }

  #refused({ code, said }: { readonly code: string; readonly said: string }): HostError {
    const taken = code === 'EEXIST' ? ': another tunnel by marks has that outer address' : '';
    const problem = code === 'EPERM' ? 'notPermitted' : 'deviceFailed';
    return dataPlaneError(problem, `making network device ${this.#name}: ${said}${taken}`);
  }

  #must(what: string, requests: readonly RouteRequest[]): void {
    for (const answer of this.#routes.request(requests))
      if (!answer.ok) throw dataPlaneError('kernelRefused', `${what}: ${answer.said}`);
  }
}
