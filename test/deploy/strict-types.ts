// Strict types for rendered objects: each is written as a constant of the type of its kind and compiled, so that
// an unknown field, a wrong type or a value that is not on the list does not pass. One compiler run for everything;
// what it says is told by object and field. Ranges and patterns, which types cannot see, by the packages' schemas.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { nameOf } from './policies/objects.ts';
import type { KubeObject, Rendered } from './policies/objects.ts';

const root = path.resolve(import.meta.dirname, '..', '..');
const schemas = path.join(root, 'deploy', 'schemas');

/** Kinds that no package has: the file in deploy/schemas that does. */
const ownKinds: Readonly<Record<string, string>> = {
  'autoscaling.gke.io/v1beta1 AutoscalingMetric': 'autoscaling-metric',
  'monitoring.coreos.com/v1 PrometheusRule': 'rules',
  'monitoring.coreos.com/v1 ServiceMonitor': 'service-monitor',
  'monitoring.googleapis.com/v1 ClusterPodMonitoring': 'pod-monitoring',
  'monitoring.googleapis.com/v1 ClusterRules': 'rules',
  'monitoring.googleapis.com/v1 GlobalRules': 'rules',
  'monitoring.googleapis.com/v1 PodMonitoring': 'pod-monitoring',
  'monitoring.googleapis.com/v1 Rules': 'rules',
  'networking.gke.io/v1alpha1 FQDNNetworkPolicy': 'fqdn-network-policy',
  'secrets-store.csi.x-k8s.io/v1 SecretProviderClass': 'secret-provider-class',
};

type KnownType = {
  readonly module: string;
  readonly name: string;
  /** The package's class of it, which knows ranges too; null for kinds of ours. */
  readonly model: string | null;
};

/** The type of a kind; null for one that nobody knows. */
export function typeOf({ apiVersion, kind }: KubeObject): KnownType | null {
  const own = ownKinds[`${apiVersion} ${kind}`];
  if (own !== undefined) return { module: path.join(schemas, `${own}.ts`), name: kind, model: null };
  for (const packageName of ['kubernetes-models', '@kubernetes-models/gke', '@kubernetes-models/gateway-api']) {
    const file = path.join(root, 'node_modules', packageName, apiVersion, `${kind}.mjs`);
    if (existsSync(file)) return { module: `${packageName}/${apiVersion}/${kind}`, name: `I${kind}`, model: file };
  }
  return null;
}

/** What is wrong with the objects of each rendering, in words. */
export async function typeProblems(renderings: readonly Rendered[]): Promise<ReadonlyMap<Rendered, readonly string[]>> {
  const problems = new Map<Rendered, string[]>(renderings.map((rendered) => [rendered, []]));
  const dir = await mkdtemp(path.join(tmpdir(), 'fleet-types-'));
  try {
    await mkdir(path.join(dir, 'objects'));
    await symlink(path.join(root, 'node_modules'), path.join(dir, 'node_modules'));
    const files = renderings.map((rendered) => {
      const unknown = rendered.objects.filter((object) => typeOf(object) === null);
      problems
        .get(rendered)
        ?.push(
          ...unknown.map((object) => `${nameOf(object)}: nobody knows the kind ${object.kind} of ${object.apiVersion}`),
        );
      return { rendered, ...writeTyped(rendered.objects) };
    });
    for (const rendered of renderings) problems.get(rendered)?.push(...(await rangeProblems(rendered.objects)));
    await Promise.all(files.map(({ source }, index) => writeFile(path.join(dir, 'objects', `${index}.ts`), source)));
    await writeFile(path.join(dir, 'tsconfig.json'), JSON.stringify(compilerSettings));
    for (const said of await compile(dir)) {
      const file = said.file === null ? undefined : files[said.file];
      const where = file?.lines[said.line - 1];
      if (file === undefined) throw new Error(`the compiler could not begin: ${said.words}`);
      problems.get(file.rendered)?.push(`${where ?? file.rendered.name}: ${said.words}`);
    }
    return problems;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

type Fault = { readonly instancePath: string; readonly keyword: string; readonly message?: string };
type Model = new (data: object) => { validate(): void };

/** What the compiler says better, and formats: kustomize breaks long base64 into lines, which is one. */
const seenByTypes = new Set(['additionalProperties', 'anyOf', 'const', 'enum', 'format', 'oneOf', 'required', 'type']);

async function rangeProblems(objects: readonly KubeObject[]): Promise<string[]> {
  const found: string[] = [];
  for (const object of objects) {
    const file = typeOf(object)?.model ?? null;
    if (file === null) continue;
    const models = (await import(file)) as Readonly<Record<string, Model>>;
    const Kind = models[object.kind];
    if (Kind === undefined) throw new Error(`${file} has no ${object.kind}`);
    try {
      new Kind(object).validate();
    } catch (error) {
      const faults = (error as { errors?: readonly Fault[] }).errors ?? [];
      for (const { instancePath, keyword, message } of faults) {
        if (seenByTypes.has(keyword)) continue;
        found.push(`${nameOf(object)}: ${instancePath.slice(1).replaceAll('/', '.')}: ${message ?? keyword}`);
      }
    }
  }
  return found;
}

const compilerSettings = {
  compilerOptions: {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: 'es2023',
    lib: ['es2023'],
    module: 'nodenext',
    moduleResolution: 'nodenext',
    allowImportingTsExtensions: true,
    types: [],
  },
  include: ['objects/*.ts'],
};

type Typed = {
  readonly source: string;
  /** For each line of the source, the object and field that it writes. */
  readonly lines: readonly string[];
};

function writeTyped(objects: readonly KubeObject[]): Typed {
  const known = objects.flatMap((object) => {
    const type = typeOf(object);
    return type === null ? [] : [{ object, type }];
  });
  const imports = new Map(known.map(({ type }) => [`${type.module} ${type.name}`, type]));
  const aliases = new Map([...imports.keys()].map((key, index) => [key, `T${index}`]));
  const written: (readonly [text: string, where: string])[] = [...imports].map(([key, { module, name }]) => [
    `import type { ${name} as ${aliases.get(key)} } from ${JSON.stringify(module)};`,
    module,
  ]);
  known.forEach(({ object, type }, index) => {
    const alias = aliases.get(`${type.module} ${type.name}`);
    written.push([`export const o${index}: ${alias} =`, nameOf(object)]);
    written.push(
      ...literal(object, '', '').map(
        ([text, at]) => [text, at === '' ? nameOf(object) : `${nameOf(object)}: ${at}`] as const,
      ),
    );
    written.push([';', nameOf(object)]);
  });
  return { source: written.map(([text]) => text).join('\n'), lines: written.map(([, where]) => where) };
}

/** A literal with one field to a line, each with the path of the field. */
function literal(value: unknown, at: string, before: string): (readonly [text: string, at: string])[] {
  if (typeof value !== 'object' || value === null) return [[`${before}${JSON.stringify(value)}`, at]];
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const inner = Array.isArray(value)
    ? value.flatMap((each: unknown, index) => [...literal(each, `${at}[${index}]`, ''), [',', at] as const])
    : Object.entries(value).flatMap(([key, each]) => [
        ...literal(each, at === '' ? key : `${at}.${key}`, `${JSON.stringify(key)}: `),
        [',', at] as const,
      ]);
  return [[`${before}${open}`, at], ...inner, [close, at]];
}

type Said = { readonly file: number | null; readonly line: number; readonly words: string };

async function compile(dir: string): Promise<Said[]> {
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const run = promisify(execFile);
  const output = await run(process.execPath, [tsc, '--project', dir, '--pretty', 'false'], {
    cwd: dir,
    maxBuffer: 64 * 1024 ** 2,
  }).then(
    ({ stdout }) => stdout,
    (error: { stdout?: string; message: string }) => error.stdout ?? error.message,
  );
  return output
    .split('\n')
    .filter((line) => /\berror TS\d+:/.test(line))
    .map((line) => {
      const match = /objects\/(\d+)\.ts\((\d+),\d+\): error (TS\d+: .*)$/.exec(line);
      return match === null
        ? { file: null, line: 0, words: line }
        : { file: Number(match[1]), line: Number(match[2]), words: match[3] ?? '' };
    });
}
