// Which bytes run. On Google Kubernetes Engine every image is named by its digest; a digest of zeros is what
// an overlay in git carries for images of our own, to be set by whoever built them.

import { allContainers, problem, textAt, workloads } from './objects.ts';
import type { Rendered } from './objects.ts';
import type { Policy } from './policy.ts';

export const unsetDigest = `sha256:${'0'.repeat(64)}`;
const ownImages = ['codex-fleet', 'codex-fleet-worker'];
const digestPattern = /^sha256:[0-9a-f]{64}$/;

type ImageName = { readonly repository: string; readonly tag: string | null; readonly digest: string | null };

export function parseImage(image: string): ImageName {
  const [name = '', digest = null] = image.split('@');
  const colon = name.lastIndexOf(':');
  // A colon before the last slash is that of a registry's port.
  const hasTag = colon > name.lastIndexOf('/');
  return { repository: hasTag ? name.slice(0, colon) : name, tag: hasTag ? name.slice(colon + 1) : null, digest };
}

export function isOwnImage(image: string): boolean {
  return ownImages.includes(parseImage(image).repository.split('/').at(-1) ?? '');
}

function images(rendered: Rendered) {
  return workloads(rendered).flatMap((workload) =>
    allContainers(workload).map((container) => ({ workload, container, image: container.image ?? '' })),
  );
}

export const imagePolicy: Policy = {
  name: 'images',
  promise: 'every image is one that cannot change under its name, from a registry that exists',
  rules: [
    {
      name: 'no-mutable-tag',
      check: (rendered) =>
        images(rendered).flatMap(({ workload: { object }, container, image }) => {
          const { tag, digest } = parseImage(image);
          if (digest !== null || (tag !== null && tag !== 'latest')) return [];
          return [problem(object, `container ${container.name}: image`, image, 'a digest, or a tag that is a version')];
        }),
    },
    {
      name: 'digest-on-cloud',
      check: (rendered) =>
        rendered.isCloud
          ? images(rendered).flatMap(({ workload: { object }, container, image }) => {
              const { digest } = parseImage(image);
              if (digest !== null && digestPattern.test(digest)) return [];
              return [problem(object, `container ${container.name}: image`, image, 'NAME@sha256: and 64 hex digits')];
            })
          : [],
    },
    {
      name: 'unset-digest-only-ours',
      check: (rendered) =>
        images(rendered).flatMap(({ workload: { object }, container, image }) =>
          parseImage(image).digest === unsetDigest && !isOwnImage(image)
            ? [problem(object, `container ${container.name}: image`, image, 'the digest of a published image')]
            : [],
        ),
    },
    {
      name: 'artifact-registry',
      check: (rendered) =>
        rendered.isCloud
          ? images(rendered).flatMap(({ workload: { object }, container, image }) =>
              isOwnImage(image) &&
              !/^[a-z0-9-]+-docker\.pkg\.dev\/[^/]+\/codex\/[^/]+$/i.test(parseImage(image).repository)
                ? [
                    problem(
                      object,
                      `container ${container.name}: image`,
                      image,
                      'REGION-docker.pkg.dev/PROJECT/codex/NAME',
                    ),
                  ]
                : [],
            )
          : [],
    },
    {
      name: 'worker-image',
      check: (rendered) =>
        images(rendered).flatMap(({ workload: { object, component }, container, image }) => {
          const base = parseImage(image).repository.split('/').at(-1);
          const wanted = component === 'worker' ? 'codex-fleet-worker' : 'codex-fleet';
          if (!isOwnImage(image) || base === wanted) return [];
          return [problem(object, `container ${container.name}: image`, image, `${wanted}: only workers carry Codex`)];
        }),
    },
    {
      name: 'pull-policy',
      check: (rendered) =>
        images(rendered).flatMap(({ workload: { object }, container, image }) =>
          parseImage(image).digest !== null && textAt(container, 'imagePullPolicy') === 'Always'
            ? [
                problem(
                  object,
                  `container ${container.name}: imagePullPolicy`,
                  'Always',
                  'IfNotPresent: a digest never changes',
                ),
              ]
            : [],
        ),
    },
  ],
};
