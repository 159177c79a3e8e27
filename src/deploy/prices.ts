// What Google and the model's provider ask: list prices in US dollars of us-central1, without free quotas,
// discounts and taxes. Whoever changes one changes its date. What could not be checked at its own source says so.

export type Price = {
  readonly dollars: number;
  /** For one of these. */
  readonly of: string;
  /** When the source was read. */
  readonly readOn: string;
  readonly source: string;
};

const gke = 'cloud.google.com/kubernetes-engine/pricing';
const network = 'cloud.google.com/vpc/network-pricing';
const operations = 'cloud.google.com/products/observability/pricing';

export const prices = {
  clusterHours: { dollars: 0.1, of: 'hour of a cluster', readOn: '2026-08-28', source: gke },
  /** Once for each billing account and month. */
  clusterCredit: { dollars: 74.4, of: 'month and billing account', readOn: '2026-08-28', source: gke },
  podCpuHours: { dollars: 0.0445, of: 'vCPU and hour, requested by a pod', readOn: '2026-08-28', source: gke },
  podMemoryHours: { dollars: 0.0049225, of: 'GiB and hour, requested by a pod', readOn: '2026-08-28', source: gke },
  podDiskHours: {
    dollars: 0.0000548,
    of: 'GiB of ephemeral storage and hour, requested by a pod',
    readOn: '2026-08-28',
    source: `${gke}, an earlier list; not seen again since`,
  },
  balancedDisk: {
    dollars: 0.1,
    of: 'GiB and month of a balanced disk',
    readOn: '2026-08-28',
    source: 'cloud.google.com/compute/disks-image-pricing',
  },
  ssdDisk: {
    dollars: 0.17,
    of: 'GiB and month of an SSD disk',
    readOn: '2026-08-28',
    source: 'cloud.google.com/compute/disks-image-pricing',
  },
  forwardingHours: {
    dollars: 0.025,
    of: 'hour of the forwarding rules of a load balancer, five of them together',
    readOn: '2026-08-28',
    source: network,
  },
  balancedData: { dollars: 0.008, of: 'GiB through the load balancer', readOn: '2026-08-28', source: network },
  armorPolicy: {
    dollars: 7,
    of: 'month of a Cloud Armor policy with two rules',
    readOn: '2026-08-28',
    source: 'cloud.google.com/armor/pricing, an earlier list; not seen again since',
  },
  valkeyNodeHours: {
    dollars: 0.183,
    of: 'hour of a standard-small node of Memorystore for Valkey',
    readOn: '2026-08-28',
    source: 'cloud.google.com/memorystore/valkey/pricing; the figure is that of Seoul, us-central1 is a little cheaper',
  },
  natHours: {
    dollars: 0.0014,
    of: 'hour and node behind Cloud NAT',
    readOn: '2026-11-23',
    source: 'cloud.google.com/nat/pricing',
  },
  natAddressHours: {
    dollars: 0.005,
    of: 'hour of an address of Cloud NAT',
    readOn: '2026-11-23',
    source: 'cloud.google.com/nat/pricing',
  },
  natData: {
    dollars: 0.045,
    of: 'GiB through Cloud NAT',
    readOn: '2026-11-23',
    source: 'cloud.google.com/nat/pricing',
  },
  samples: { dollars: 0.06, of: 'million samples of managed Prometheus', readOn: '2026-08-28', source: operations },
  logs: { dollars: 0.5, of: 'GiB of logs after the first 50 of a project', readOn: '2026-08-28', source: operations },
  turnAtGoogle: {
    dollars: 11.5,
    of: 'million turns: Firestore and Cloud Storage operations, as counted by the benchmark google-cost',
    readOn: '2026-09-20',
    source: 'BENCHMARKS.md; cloud.google.com/firestore/pricing, cloud.google.com/storage/pricing',
  },
  storedSnapshots: {
    dollars: 0.02,
    of: 'GiB and month of Cloud Storage, Standard class',
    readOn: '2026-09-20',
    source: 'cloud.google.com/storage/pricing',
  },
  secretVersions: {
    dollars: 0.06,
    of: 'secret version and month',
    readOn: '2026-11-23',
    source: 'cloud.google.com/secret-manager/pricing',
  },
  inputTokens: {
    dollars: 5,
    of: 'million input tokens',
    readOn: '2026-06-30',
    source: "openai.com/api/pricing by third parties, for gpt-5.5; give your own model's with --input-price",
  },
  cachedInputTokens: {
    dollars: 0.5,
    of: 'million cached input tokens',
    readOn: '2026-06-30',
    source: 'as above, --cached-input-price',
  },
  outputTokens: {
    dollars: 30,
    of: 'million output tokens, those of reasoning among them',
    readOn: '2026-06-30',
    source: 'as above, --output-price',
  },
} as const satisfies Readonly<Record<string, Price>>;

export const hoursOfMonth = 730;

/** None was read after this day. */
export const newestPriceDate = Object.values(prices)
  .map(({ readOn }) => readOn)
  .reduce((newest, date) => (date > newest ? date : newest));
