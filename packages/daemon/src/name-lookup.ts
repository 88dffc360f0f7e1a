import type { Network, UpstreamAsker } from '@aovpn/host';
import type { DnsRule } from '@aovpn/policy';
import { askAddresses, joinAnswers, type QuestionAnswer } from './dns-question.ts';
import { outerMark } from './outer-mark.ts';
import type { PlanKeeper } from './plan-keeper.ts';
import { resolveGateway } from './resolve-gateway.ts';

/** How the daemon itself finds addresses. */
export class NameLookup {
  readonly #asker: UpstreamAsker;
  readonly #network: Pick<Network, 'networkFacts'>;
  readonly #plans: () => Pick<PlanKeeper, 'ask'>;

  /** `plans` is asked at the time of a question, to open the way to the machine's own servers. */
  constructor(asker: UpstreamAsker, network: Pick<Network, 'networkFacts'>, plans: () => Pick<PlanKeeper, 'ask'>) {
    this.#asker = asker;
    this.#network = network;
    this.#plans = plans;
  }

  /** Outside of every tunnel, by the machine's own servers. */
  async outside(name: string): ReturnType<typeof resolveGateway> {
    const facts = await this.#network.networkFacts();
    await this.#plans().ask(facts.resolver.servers);
    return await resolveGateway(name, {
      servers: facts.resolver.servers,
      mark: outerMark,
      asker: this.#asker,
      v4: facts.sources.v4 !== undefined,
    });
  }

  /** Where a program would be answered: by the servers of a rule through their tunnel, or by the machine's own ones outside of all. */
  async asProgram(name: string, rule: DnsRule | undefined, mark = 0): Promise<QuestionAnswer> {
    const asker = this.#asker;
    const options = rule
      ? { ...rule, mark, asker }
      : { servers: (await this.#network.networkFacts()).resolver.servers, mark: outerMark, asker };
    return joinAnswers(await Promise.all(([6, 4] as const).map((family) => askAddresses(name, family, options))));
  }
}
