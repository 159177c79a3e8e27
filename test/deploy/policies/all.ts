// Every policy, in the order in which a reader would ask.

import { autoscalingPolicy } from './autoscaling.ts';
import { availabilityPolicy } from './availability.ts';
import { edgePolicy } from './edge.ts';
import { identityPolicy } from './identity.ts';
import { imagePolicy } from './images.ts';
import { metricsPolicy } from './metrics.ts';
import { networkPolicy } from './network.ts';
import { podSecurity } from './pod-security.ts';
import type { Policy } from './policy.ts';
import { referencesPolicy } from './references.ts';
import { resourcesPolicy } from './resources.ts';
import { retiredPolicy } from './retired.ts';
import { scopePolicy } from './scope.ts';
import { scrapingPolicy } from './scraping.ts';
import { settingsPolicy } from './settings.ts';
import { timingPolicy } from './timing.ts';

export const policies: readonly Policy[] = [
  scopePolicy,
  podSecurity,
  imagePolicy,
  referencesPolicy,
  edgePolicy,
  autoscalingPolicy,
  scrapingPolicy,
  settingsPolicy,
  timingPolicy,
  availabilityPolicy,
  resourcesPolicy,
  networkPolicy,
  identityPolicy,
  metricsPolicy,
  retiredPolicy,
];
