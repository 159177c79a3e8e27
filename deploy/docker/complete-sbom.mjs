// Puts Debian's packages and Node into the image's list of parts, /app/sbom.cdx.json (CycloneDX), beside those of
// npm. Run again after more packages were installed, it says what is there then.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const app = '/app';
const file = path.join(app, 'sbom.cdx.json');
const format = '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\n';

const debian = execFileSync('dpkg-query', ['-W', '-f', format], { encoding: 'utf8' })
  .split('\n')
  .map((line) => line.split('\t'))
  .filter(([status]) => status === 'installed')
  .map(([, name, version, arch, source]) => {
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${arch}`;
    const properties = [{ name: 'debian:source', value: source }];
    return { 'bom-ref': purl, type: 'library', name, version, purl, properties };
  });
const node = {
  'bom-ref': `pkg:generic/node@${process.versions.node}`,
  type: 'application',
  name: 'node',
  version: process.versions.node,
  purl: `pkg:generic/node@${process.versions.node}`,
};

const bom = JSON.parse(readFileSync(file, 'utf8'));
// The list was made before the tree was cut down to what an image needs: only what lies there stays in it.
const there = new Set();
const collect = (modules) => {
  if (!existsSync(modules)) return;
  for (const entry of readdirSync(modules)) {
    const places = entry.startsWith('@')
      ? readdirSync(path.join(modules, entry)).map((name) => path.join(entry, name))
      : [entry];
    for (const place of places.map((name) => path.join(modules, name))) {
      if (!existsSync(path.join(place, 'package.json'))) continue;
      const { name, version } = JSON.parse(readFileSync(path.join(place, 'package.json'), 'utf8'));
      there.add(`${name}@${version}`);
      collect(path.join(place, 'node_modules'));
    }
  }
};
collect(path.join(app, 'node_modules'));
const isThere = ({ purl }) =>
  purl?.startsWith('pkg:npm/') && there.has(decodeURIComponent(purl.slice('pkg:npm/'.length).split('?')[0]));
const fromNpm = bom.components.filter(isThere);
bom.components = [...fromNpm, node, ...debian].sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
const refs = new Set([bom.metadata.component['bom-ref'], ...bom.components.map((one) => one['bom-ref'])]);
bom.dependencies = bom.dependencies
  .filter(({ ref }) => refs.has(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => refs.has(one)) }));
bom.metadata.component.name = 'codex-fleet';
// The same parts are the same list: no clock and no dice in it.
bom.metadata.timestamp = new Date(Number(process.env.SOURCE_DATE_EPOCH ?? 0) * 1000).toISOString();
delete bom.serialNumber;
const hash = createHash('sha256').update(JSON.stringify(bom)).digest('hex');
bom.serialNumber = `urn:uuid:${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
writeFileSync(file, `${JSON.stringify(bom, null, 1)}\n`);
