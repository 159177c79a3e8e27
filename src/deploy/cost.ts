// What a rendered overlay costs in a month at Google's list prices, and what the model costs beside it. Pure: what
// it reckons with is in its arguments and in prices.ts.

import { type ClaimSpec, type Manifest, workloadKinds, workloadSpec } from './manifest.ts';
import { hoursOfMonth, prices } from './prices.ts';
import { parseQuantity } from './quantity.ts';

/** What no manifest says. */
export type Assumptions = {
  readonly turnsPerMonth: number;
  /** Of one turn, over all its calls of the model; those read from the provider's cache are among the input. */
  readonly inputTokensPerTurn: number;
  readonly cachedInputTokensPerTurn: number;
  readonly outputTokensPerTurn: number;
  /** Dollars for a million tokens. */
  readonly inputPrice: number;
  readonly cachedInputPrice: number;
  readonly outputPrice: number;
  readonly storedGiB: number;
  /** To and from clients. */
  readonly balancedGiB: number;
  /** To and from the model's provider. */
  readonly natGiB: number;
  readonly logsGiB: number;
  readonly seriesPerPod: number;
  readonly scrapeSeconds: number;
  /** Nodes that Autopilot makes for so many pods. */
  readonly podsPerNode: number;
};

export const usualAssumptions: Assumptions = {
  turnsPerMonth: 10_000,
  inputTokensPerTurn: 400_000,
  cachedInputTokensPerTurn: 320_000,
  outputTokensPerTurn: 8_000,
  inputPrice: prices.inputTokens.dollars,
  cachedInputPrice: prices.cachedInputTokens.dollars,
  outputPrice: prices.outputTokens.dollars,
  storedGiB: 50,
  balancedGiB: 20,
  natGiB: 50,
  logsGiB: 20,
  seriesPerPod: 300,
  scrapeSeconds: 30,
  podsPerNode: 4,
};

export type CostRow = {
  readonly what: string;
  /** What it is reckoned from, in words. */
  readonly from: string;
  /** Dollars a month with the fewest pods that the overlay runs, and with the most. */
  readonly least: number;
  readonly most: number;
};

export type Cost = {
  readonly rows: readonly CostRow[];
  /** Not in the totals. */
  readonly tokens: CostRow;
  readonly least: number;
  readonly most: number;
};

const GiB = 1024 ** 3;
const million = 1_000_000;
const secondsOfMonth = hoursOfMonth * 3_600;

type Pods = {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
};

export function costOf(manifests: readonly Manifest[], assumed: Assumptions): Cost {
  const pods = podsOf(manifests);
  const rows = isOnGoogle(manifests)
    ? [
        clusterRow(),
        ...pods.map(podRow),
        ...claimRows(manifests, pods),
        ...loadBalancerRows(manifests, assumed),
        ...armorRows(manifests),
        ...valkeyRows(manifests),
        natRow(pods, assumed),
        ...metricsRows(manifests, pods, assumed),
        fixed('Logs', `${assumed.logsGiB} GiB; the first 50 of a project are free`, logsDollars(assumed)),
        fixed(
          'Firestore and Cloud Storage calls',
          `${inWords(assumed.turnsPerMonth)} turns`,
          (assumed.turnsPerMonth / million) * prices.turnAtGoogle.dollars,
        ),
        fixed(
          'Snapshots kept',
          `${assumed.storedGiB} GiB in Cloud Storage`,
          assumed.storedGiB * prices.storedSnapshots.dollars,
        ),
        fixed('Secrets', '4 versions', 4 * prices.secretVersions.dollars),
      ]
    : [];
  const sum = (pick: (row: CostRow) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  return { rows, tokens: tokensRow(assumed), least: sum(({ least }) => least), most: sum(({ most }) => most) };
}

/** Whether records and snapshots are at Google: the others run on a cluster that is paid for elsewhere, or not at all. */
export function isOnGoogle(manifests: readonly Manifest[]): boolean {
  return manifests.some(({ data, kind }) => kind === 'ConfigMap' && data?.['CODEX_FLEET_STORAGE'] === 'google');
}

/** Of workloads, with what their autoscalers allow. */
export function podsOf(manifests: readonly Manifest[]): Pods[] {
  return manifests
    .filter(({ kind }) => workloadKinds.includes(kind))
    .map((workload) => {
      const { name } = workload.metadata;
      const { replicas = 1, template } = workloadSpec(workload);
      const scaler = manifests.find(({ kind, spec }) => kind === 'HorizontalPodAutoscaler' && targetOf(spec) === name);
      const { maxReplicas, minReplicas } = (scaler?.spec ?? {}) as { minReplicas?: number; maxReplicas?: number };
      const requested = (resource: string): number =>
        (template?.spec?.containers ?? []).reduce(
          (sum, { resources }) => sum + parseQuantity(resources?.requests?.[resource] ?? 0),
          0,
        );
      return {
        name,
        least: minReplicas ?? replicas,
        most: maxReplicas ?? replicas,
        cores: requested('cpu'),
        memoryGiB: requested('memory') / GiB,
        diskGiB: requested('ephemeral-storage') / GiB,
      };
    });
}

function targetOf(spec: Manifest['spec']): string | undefined {
  return (spec as { scaleTargetRef?: { name?: string } } | undefined)?.scaleTargetRef?.name;
}

function clusterRow(): CostRow {
  const dollars = Math.max(0, prices.clusterHours.dollars * hoursOfMonth - prices.clusterCredit.dollars);
  return fixed('Cluster', 'one Autopilot cluster, paid by the credit of the billing account', dollars);
}

function podRow({ cores, diskGiB, least, memoryGiB, most, name }: Pods): CostRow {
  const hourly =
    cores * prices.podCpuHours.dollars +
    memoryGiB * prices.podMemoryHours.dollars +
    diskGiB * prices.podDiskHours.dollars;
  const range = least === most ? `${least}` : `${least} to ${most}`;
  return {
    what: name,
    from: `${range} × ${round(cores)} vCPU, ${round(memoryGiB)} GiB, ${round(diskGiB)} GiB of disk`,
    least: least * hourly * hoursOfMonth,
    most: most * hourly * hoursOfMonth,
  };
}

function claimRows(manifests: readonly Manifest[], pods: readonly Pods[]): CostRow[] {
  const own = manifests.filter(({ kind }) => kind === 'PersistentVolumeClaim');
  const claimed = [
    ...own.map(({ metadata, spec }) => ({ what: metadata.name, least: 1, most: 1, claim: (spec ?? {}) as ClaimSpec })),
    ...manifests.flatMap((workload) =>
      claimsOfEachPod(workload).map((claim) => {
        const { least = 1, most = 1 } = pods.find(({ name }) => name === workload.metadata.name) ?? {};
        return { what: workload.metadata.name, least, most, claim };
      }),
    ),
  ];
  return claimed.map(({ claim, least, most, what }) => {
    const sizeGiB = parseQuantity(claim.resources?.requests?.storage ?? 0) / GiB;
    const isSsd = claim.storageClassName?.startsWith('premium') === true;
    const each = sizeGiB * (isSsd ? prices.ssdDisk : prices.balancedDisk).dollars;
    const range = least === most ? `${least}` : `${least} to ${most}`;
    return {
      what: `Disks of ${what}`,
      from: `${range} × ${round(sizeGiB)} GiB, ${isSsd ? 'SSD' : 'balanced'}`,
      least: least * each,
      most: most * each,
    };
  });
}

/** Those that outlive a pod, and those that go with it. */
function claimsOfEachPod(workload: Manifest): ClaimSpec[] {
  const { template, volumeClaimTemplates = [] } = workloadSpec(workload);
  const ephemeral = (template?.spec?.volumes ?? []).map((volume) => volume.ephemeral?.volumeClaimTemplate?.spec);
  return [...volumeClaimTemplates.map(({ spec }) => spec), ...ephemeral].filter((spec) => spec !== undefined);
}

function loadBalancerRows(manifests: readonly Manifest[], { balancedGiB }: Assumptions): CostRow[] {
  if (!manifests.some(({ kind }) => kind === 'Gateway')) return [];
  const dollars = prices.forwardingHours.dollars * hoursOfMonth + balancedGiB * prices.balancedData.dollars;
  return [fixed('Load balancer', `forwarding rules, ${balancedGiB} GiB`, dollars)];
}

function armorRows(manifests: readonly Manifest[]): CostRow[] {
  const policies = new Set(
    manifests.flatMap(({ kind, spec }) => {
      const { securityPolicy } = (spec?.['default'] ?? {}) as { securityPolicy?: string };
      return kind === 'GCPBackendPolicy' && securityPolicy !== undefined ? [securityPolicy] : [];
    }),
  );
  const what = 'Cloud Armor';
  return policies.size === 0
    ? []
    : [fixed(what, `${policies.size} policy`, policies.size * prices.armorPolicy.dollars)];
}

/** Where no Redis is among the workloads, it is Memorystore: a primary and a replica. */
function valkeyRows(manifests: readonly Manifest[]): CostRow[] {
  if (manifests.some(({ kind, metadata }) => workloadKinds.includes(kind) && metadata.name === 'codex-redis'))
    return [];
  const nodes = 2;
  return [
    fixed(
      'Memorystore for Valkey',
      `${nodes} standard-small nodes`,
      nodes * prices.valkeyNodeHours.dollars * hoursOfMonth,
    ),
  ];
}

function natRow(pods: readonly Pods[], { natGiB, podsPerNode }: Assumptions): CostRow {
  const dollars = (count: number): number =>
    Math.ceil(count / podsPerNode) * prices.natHours.dollars * hoursOfMonth +
    prices.natAddressHours.dollars * hoursOfMonth +
    natGiB * prices.natData.dollars;
  return {
    what: 'Cloud NAT',
    from: `a node for ${podsPerNode} pods, one address, ${natGiB} GiB`,
    least: dollars(pods.reduce((sum, { least }) => sum + least, 0)),
    most: dollars(pods.reduce((sum, { most }) => sum + most, 0)),
  };
}

function metricsRows(
  manifests: readonly Manifest[],
  pods: readonly Pods[],
  { scrapeSeconds, seriesPerPod }: Assumptions,
): CostRow[] {
  if (!manifests.some(({ kind }) => kind === 'PodMonitoring')) return [];
  const dollars = (count: number): number =>
    ((count * seriesPerPod * secondsOfMonth) / scrapeSeconds / million) * prices.samples.dollars;
  return [
    {
      what: 'Managed Prometheus',
      from: `${seriesPerPod} series of each pod, every ${scrapeSeconds} s`,
      least: dollars(pods.reduce((sum, { least }) => sum + least, 0)),
      most: dollars(pods.reduce((sum, { most }) => sum + most, 0)),
    },
  ];
}

function logsDollars({ logsGiB }: Assumptions): number {
  return Math.max(0, logsGiB - 50) * prices.logs.dollars;
}

function tokensRow(assumed: Assumptions): CostRow {
  const { cachedInputTokensPerTurn, inputTokensPerTurn, outputTokensPerTurn, turnsPerMonth } = assumed;
  const perTurn =
    ((inputTokensPerTurn - cachedInputTokensPerTurn) * assumed.inputPrice +
      cachedInputTokensPerTurn * assumed.cachedInputPrice +
      outputTokensPerTurn * assumed.outputPrice) /
    million;
  const from =
    `${inWords(turnsPerMonth)} turns of ${inWords(inputTokensPerTurn)} input tokens, ${inWords(cachedInputTokensPerTurn)} ` +
    `of them cached, and ${inWords(outputTokensPerTurn)} output tokens: $${perTurn.toFixed(2)} each`;
  return fixed('Model tokens', from, turnsPerMonth * perTurn);
}

function fixed(what: string, from: string, dollars: number): CostRow {
  return { what, from, least: dollars, most: dollars };
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function inWords(count: number): string {
  return count.toLocaleString('en-US');
}
