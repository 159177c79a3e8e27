// Who reads /metrics: of every role, at ports that are there and may be reached, with a credential.

import { contentOf } from './environment.ts';
import { field, labelsAt, listAt, named, nameOf, ofKind, problem, textAt } from './objects.ts';
import type { KubeObject, Workload } from './objects.ts';
import { outsideSecret } from './outside-secrets.ts';
import type { Policy } from './policy.ts';
import { isAllowed } from './reachability.ts';
import { declaredPorts, hasPort } from './references.ts';
import { selectedWorkloads, selects } from './selectors.ts';

/** Where the collectors of Managed Service for Prometheus run: on Autopilot, and elsewhere. */
const collectors = ['gke-gmp-system', 'gmp-system'];

function scrapedPorts(scraper: KubeObject, { pod }: Workload): number[] {
  const ports = (pod.containers ?? []).flatMap((container) => container.ports ?? []);
  return listAt(scraper, 'spec', 'endpoints')
    .map((endpoint) => field(endpoint, 'port'))
    .flatMap(
      (given) =>
        ports.find(({ containerPort, name }) => containerPort === given || name === given)?.containerPort ?? [],
    );
}

export const scrapingPolicy: Policy = {
  name: 'scraping',
  promise: 'every role is read by the monitoring, at a port that is there and may be reached',
  rules: [
    {
      name: 'scraper',
      check: (rendered) =>
        ofKind(rendered, 'PodMonitoring').flatMap((scraper) => {
          const selector = field(scraper, 'spec', 'selector');
          const found = selectedWorkloads(rendered, selector);
          if (found.length === 0) return [problem(scraper, 'spec.selector', selector, 'pods of this overlay')];
          return listAt(scraper, 'spec', 'endpoints')
            .map((endpoint) => field(endpoint, 'port'))
            .flatMap((port) =>
              found
                .filter((workload) => !hasPort(workload, port))
                .map((workload) =>
                  problem(
                    scraper,
                    'spec.endpoints: port',
                    port,
                    `${nameOf(workload.object)} has ${declaredPorts(workload)}`,
                  ),
                ),
            );
        }),
    },
    {
      name: 'service-scraper',
      check: (rendered) =>
        ofKind(rendered, 'ServiceMonitor').flatMap((scraper) => {
          const selector = field(scraper, 'spec', 'selector');
          const found = ofKind(rendered, 'Service').filter((service) =>
            selects(selector, labelsAt(service, 'metadata', 'labels')),
          );
          if (found.length === 0) return [problem(scraper, 'spec.selector', selector, 'Services of this overlay')];
          return listAt(scraper, 'spec', 'endpoints')
            .map((endpoint) => textAt(endpoint, 'port'))
            .flatMap((port) =>
              found
                .filter((service) => !listAt(service, 'spec', 'ports').some((each) => textAt(each, 'name') === port))
                .map((service) =>
                  problem(scraper, 'spec.endpoints: port', port, `the name of a port of ${nameOf(service)}`),
                ),
            );
        }),
    },
    {
      name: 'scraper-credentials',
      check: (rendered) =>
        ofKind(rendered, 'PodMonitoring', 'ServiceMonitor').flatMap((scraper) =>
          listAt(scraper, 'spec', 'endpoints').flatMap((endpoint) => {
            const credentials = field(endpoint, 'authorization', 'credentials');
            const ref = field(credentials, 'secret') ?? credentials;
            const [name, key] = [textAt(ref, 'name') ?? '', textAt(ref, 'key') ?? ''];
            const own = named(rendered, 'Secret', name);
            const keys = own === null ? Object.keys(outsideSecret(name)?.keys ?? {}) : Object.keys(contentOf(own));
            return keys.includes(key)
              ? []
              : [
                  problem(
                    scraper,
                    'spec.endpoints: authorization',
                    ref,
                    'a Secret and a key of it: /metrics asks for a credential',
                  ),
                ];
          }),
        ),
    },
    {
      name: 'every-role-is-scraped',
      check: (rendered) => {
        const scrapers = ofKind(rendered, 'PodMonitoring');
        if (scrapers.length === 0) return [];
        const scraped = scrapers.flatMap((scraper) => selectedWorkloads(rendered, field(scraper, 'spec', 'selector')));
        return ['codex-gateway', 'codex-pool', 'codex-session-manager', 'codex-model-proxy']
          .filter((name) => !scraped.some((workload) => workload.name === name))
          .map((name) => `${name}: no PodMonitoring selects its pods`);
      },
    },
    {
      name: 'scraper-comes-in',
      check: (rendered) =>
        ofKind(rendered, 'PodMonitoring').flatMap((scraper) =>
          selectedWorkloads(rendered, field(scraper, 'spec', 'selector')).flatMap((workload) =>
            scrapedPorts(scraper, workload)
              .filter(
                (port) =>
                  !collectors.some((namespace) =>
                    isAllowed(rendered, workload, 'Ingress', { namespace, podLabels: {} }, port),
                  ),
              )
              .map(
                (port) =>
                  `${nameOf(workload.object)}: ${nameOf(scraper)} reads port ${port}, which no collector (${collectors.join(', ')}) may reach`,
              ),
          ),
        ),
    },
  ],
};
