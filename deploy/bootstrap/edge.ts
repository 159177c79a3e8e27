// The door to the outside: the address, the certificate that is ready before traffic comes, the rules of TLS and of
// Cloud Armor. The load balancer itself is made by the cluster, of the Gateway in the overlay.

import { free, type Profile, type Resource } from './resource.ts';

const prod: readonly Profile[] = ['prod'];
const certificates = 'certificatemanager.googleapis.com';

const address: readonly Resource[] = [
  {
    name: 'address',
    kind: 'static address of the load balancer',
    id: 'codex-ip',
    needs: ['services'],
    api: 'compute.googleapis.com',
    look: { has: ['gcloud', 'compute', 'addresses', 'describe', '{address}', '--global'] },
    make: [['gcloud', 'compute', 'addresses', 'create', '{address}', '--global']],
    reads: [
      {
        into: 'ADDRESS',
        command: ['gcloud', 'compute', 'addresses', 'describe', '{address}', '--global', '--format=value(address)'],
      },
    ],
    removal: { by: [['gcloud', 'compute', 'addresses', 'delete', '{address}', '--global']] },
    costs: 'a little, by the hour',
  },
  {
    // Proves the domain by a record of its own, so that the certificate is there before the address is pointed at us.
    name: 'dns-authorization',
    kind: 'DNS authorization',
    id: 'codex-dns',
    needs: ['services'],
    api: certificates,
    look: { has: ['gcloud', 'certificate-manager', 'dns-authorizations', 'describe', '{dns-authorization}'] },
    make: [
      ['gcloud', 'certificate-manager', 'dns-authorizations', 'create', '{dns-authorization}', '--domain=$DOMAIN'],
    ],
    reads: ['NAME', 'DATA'].map((part) => ({
      into: `AUTHORIZATION_${part}`,
      command: [
        ...['gcloud', 'certificate-manager', 'dns-authorizations', 'describe', '{dns-authorization}'],
        `--format=value(dnsResourceRecord.${part.toLowerCase()})`,
      ],
    })),
    removal: {
      by: [['gcloud', 'certificate-manager', 'dns-authorizations', 'delete', '{dns-authorization}']],
    },
    costs: free,
  },
  record('address-record', 'A', '$DOMAIN.', '$ADDRESS', 'address'),
  record('authorization-record', 'CNAME', '$AUTHORIZATION_NAME', '$AUTHORIZATION_DATA', 'dns-authorization'),
];

function record(name: string, type: string, id: string, data: string, of: string): Resource {
  const at = [`--type=${type}`, '--zone=$DNS_ZONE'];
  return {
    name,
    kind: `${type} record in Cloud DNS`,
    id,
    when: 'DNS_ZONE',
    needs: [of, 'services-dns'],
    api: 'dns.googleapis.com',
    look: { has: ['gcloud', 'dns', 'record-sets', 'describe', `{${name}}`, ...at] },
    make: [['gcloud', 'dns', 'record-sets', 'create', `{${name}}`, ...at, `--rrdatas=${data}`, '--ttl=300']],
    update: [['gcloud', 'dns', 'record-sets', 'update', `{${name}}`, ...at, `--rrdatas=${data}`, '--ttl=300']],
    removal: { by: [['gcloud', 'dns', 'record-sets', 'delete', `{${name}}`, ...at]] },
    costs: free,
  };
}

const certificate: readonly Resource[] = [
  {
    name: 'certificate',
    kind: 'certificate',
    id: 'codex-cert',
    needs: ['dns-authorization'],
    api: certificates,
    look: { has: ['gcloud', 'certificate-manager', 'certificates', 'describe', '{certificate}'] },
    make: [
      [
        ...['gcloud', 'certificate-manager', 'certificates', 'create', '{certificate}', '--domains=$DOMAIN'],
        '--dns-authorizations={dns-authorization}',
      ],
    ],
    removal: { by: [['gcloud', 'certificate-manager', 'certificates', 'delete', '{certificate}']] },
    costs: free,
  },
  {
    name: 'certificate-map',
    kind: 'certificate map',
    id: 'codex-certmap',
    needs: ['services'],
    api: certificates,
    look: { has: ['gcloud', 'certificate-manager', 'maps', 'describe', '{certificate-map}'] },
    make: [['gcloud', 'certificate-manager', 'maps', 'create', '{certificate-map}']],
    removal: { by: [['gcloud', 'certificate-manager', 'maps', 'delete', '{certificate-map}']] },
    costs: free,
  },
  {
    name: 'certificate-entry',
    kind: 'entry of the certificate map',
    id: 'codex',
    needs: ['certificate', 'certificate-map'],
    api: certificates,
    look: {
      has: [
        ...['gcloud', 'certificate-manager', 'maps', 'entries', 'describe', '{certificate-entry}'],
        '--map={certificate-map}',
      ],
    },
    make: [
      [
        ...['gcloud', 'certificate-manager', 'maps', 'entries', 'create', '{certificate-entry}'],
        ...['--map={certificate-map}', '--certificates={certificate}', '--hostname=$DOMAIN'],
      ],
    ],
    removal: {
      by: [
        [
          ...['gcloud', 'certificate-manager', 'maps', 'entries', 'delete', '{certificate-entry}'],
          '--map={certificate-map}',
        ],
      ],
    },
    costs: free,
  },
];

const rules: readonly Resource[] = [
  {
    name: 'tls-policy',
    kind: 'SSL policy',
    id: 'codex-tls',
    needs: ['services'],
    api: 'compute.googleapis.com',
    look: { has: ['gcloud', 'compute', 'ssl-policies', 'describe', '{tls-policy}'] },
    make: [
      [
        ...['gcloud', 'compute', 'ssl-policies', 'create', '{tls-policy}'],
        ...['--profile=MODERN', '--min-tls-version=1.2', '--global'],
      ],
    ],
    removal: { by: [['gcloud', 'compute', 'ssl-policies', 'delete', '{tls-policy}', '--global']] },
    costs: free,
  },
  {
    name: 'armor',
    kind: 'Cloud Armor policy',
    id: 'codex-armor',
    profiles: prod,
    needs: ['services'],
    api: 'compute.googleapis.com',
    look: { has: ['gcloud', 'compute', 'security-policies', 'describe', '{armor}'] },
    make: [['gcloud', 'compute', 'security-policies', 'create', '{armor}', '--type=CLOUD_ARMOR', '--global']],
    removal: { by: [['gcloud', 'compute', 'security-policies', 'delete', '{armor}', '--global']] },
    costs: 'a little for the policy and for each rule, and by requests',
  },
  {
    // Far above what a client with a token does; streams count once. The fleet's own limits are by tenant.
    name: 'armor-rate',
    kind: 'rule of the Cloud Armor policy',
    id: '1000',
    profiles: prod,
    needs: ['armor'],
    api: 'compute.googleapis.com',
    look: {
      has: [
        ...['gcloud', 'compute', 'security-policies', 'rules', 'describe', '{armor-rate}'],
        '--security-policy={armor}',
      ],
    },
    make: [
      [
        ...['gcloud', 'compute', 'security-policies', 'rules', 'create', '{armor-rate}', '--security-policy={armor}'],
        ...['--src-ip-ranges=*', '--action=throttle', '--conform-action=allow', '--exceed-action=deny-429'],
        ...['--rate-limit-threshold-count=1200', '--rate-limit-threshold-interval-sec=60', '--enforce-on-key=ip'],
      ],
    ],
    removal: { kept: 'it goes with the policy' },
    costs: 'with the policy',
  },
  {
    // What the fleet counts tells of all tenants. Collectors are in the cluster; nobody asks for it from outside.
    name: 'armor-metrics',
    kind: 'rule of the Cloud Armor policy',
    id: '900',
    profiles: prod,
    needs: ['armor'],
    api: 'compute.googleapis.com',
    look: {
      has: [
        ...['gcloud', 'compute', 'security-policies', 'rules', 'describe', '{armor-metrics}'],
        '--security-policy={armor}',
      ],
    },
    make: [
      [
        ...[
          'gcloud',
          'compute',
          'security-policies',
          'rules',
          'create',
          '{armor-metrics}',
          '--security-policy={armor}',
        ],
        ...["--expression=request.path == '/metrics'", '--action=deny-404'],
      ],
    ],
    removal: { kept: 'it goes with the policy' },
    costs: 'with the policy',
  },
];

export const edge: readonly Resource[] = [...address, ...certificate, ...rules];
