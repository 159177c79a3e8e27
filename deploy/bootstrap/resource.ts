// The shape of one row of the table of resources, and of the commands in it. What is in the table is in the
// files beside this one; what becomes of it, in tools/generate-bootstrap.ts.

export type Profile = 'dev' | 'prod';

/**
 * The words of a command. A word `|` parts two commands of a pipeline. `{name}` in a word is the id of the resource
 * of that name; `$NAME` is an option of the script, or what an earlier resource has read.
 */
export type Command = readonly string[];

export type Look =
  /** There if the command ends with 0; absent if it says that nothing was found; anything else is a failure. */
  | { readonly has: Command }
  /** There if the command prints all these lines; without lines, if it prints anything. */
  | { readonly shows: Command; readonly lines: readonly string[] }
  /** For `kubectl diff`: there if it ends with 0, absent with 1. */
  | { readonly same: Command };

export type Removal =
  | { readonly by: readonly Command[] }
  /** What people would miss: removed with --delete-data alone. */
  | { readonly data: string; readonly by: readonly Command[] }
  | { readonly kept: string };

export type Resource = {
  /** What other rows call it. */
  readonly name: string;
  readonly kind: string;
  /** What it is called at Google, or in the cluster. */
  readonly id: string;
  /** Default: both. */
  readonly profiles?: readonly Profile[];
  /** Made only where this option of the script is given. */
  readonly when?: 'DNS_ZONE';
  /** Names of rows above. */
  readonly needs: readonly string[];
  readonly api: string | null;
  /** null: nothing to make, only something to do again each time that changes nothing. */
  readonly look: Look | null;
  readonly make: readonly Command[];
  /** What makes one that is there like one that would be made now; run with --update. */
  readonly update?: readonly Command[];
  /** Polled until this line is printed: also where an earlier run was cut off while it was being made. */
  readonly ready?: { readonly shows: Command; readonly line: string; readonly minutes: number };
  /** Read into a variable, or a file of the script's own directory, once it is there. */
  readonly reads?: readonly { readonly into: string; readonly command: Command }[];
  readonly removal: Removal;
  /** Roughly, by the month, in words. */
  readonly costs: string;
};

export const free = 'nothing';

/** The namespace of the workloads and the prefix of their service accounts. */
const members = 'principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools';

/** A service account of the cluster, as IAM names it. */
export function workload(serviceAccount: string): string {
  return `${members}/$PROJECT.svc.id.goog/subject/ns/{namespace}/sa/${serviceAccount}`;
}

type Grant = {
  readonly name: string;
  /** The group of commands that has add-iam-policy-binding; what it is given; what says where that is. */
  readonly group: Command;
  readonly target: string;
  readonly at?: Command;
  readonly role: string;
  readonly member: string;
  readonly needs: readonly string[];
  readonly api: string;
  readonly condition?: { readonly title: string; readonly expression: string };
};

/** One role for one member on one resource. Each of its own, so that a run that was cut off goes on where it was. */
export function grant({ name, group, target, at = [], role, member, needs, api, condition }: Grant): Resource {
  const call = (verb: string): string[] => ['gcloud', ...group, verb, target, ...at];
  // Once a project's policy has a condition anywhere, each change has to say whether it has one.
  const stated = condition === undefined ? 'None' : `expression=${condition.expression},title=${condition.title}`;
  const conditions = group[0] === 'projects' ? [`--condition=${stated}`] : [];
  const binding = [`--member=${member}`, `--role=${role}`, ...conditions, '--format=none'];
  return {
    name,
    kind: 'IAM binding',
    id: role,
    needs,
    api,
    look: {
      shows: [
        ...call('get-iam-policy'),
        '--flatten=bindings[].members[]',
        "--format=value[separator='|'](bindings.role,bindings.members,bindings.condition.title)",
      ],
      lines: [`${role}|${member}|${condition?.title ?? ''}`],
    },
    make: [[...call('add-iam-policy-binding'), ...binding]],
    removal: { by: [[...call('remove-iam-policy-binding'), ...binding]] },
    costs: free,
  };
}
