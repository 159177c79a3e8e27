// The calls that we make, with everything that no client may choose filled in, and the answer to
// whatever Codex asks when nobody decides. Sends nothing itself.

import type { SessionId } from '../core/ids.ts';
import type { ApprovalPolicy, SandboxMode } from '../core/session.ts';
import type { ApplyPatchApprovalResponse } from './generated/ApplyPatchApprovalResponse.ts';
import type { ExecCommandApprovalResponse } from './generated/ExecCommandApprovalResponse.ts';
import type { InitializeParams } from './generated/InitializeParams.ts';
import type { JsonValue } from './generated/serde_json/JsonValue.ts';
import type { ServerRequest } from './generated/ServerRequest.ts';
import type { CommandExecParams } from './generated/v2/CommandExecParams.ts';
import type { CommandExecutionRequestApprovalResponse } from './generated/v2/CommandExecutionRequestApprovalResponse.ts';
import type { DynamicToolCallResponse } from './generated/v2/DynamicToolCallResponse.ts';
import type { FileChangeRequestApprovalResponse } from './generated/v2/FileChangeRequestApprovalResponse.ts';
import type { McpServerElicitationRequestResponse } from './generated/v2/McpServerElicitationRequestResponse.ts';
import type { PermissionsRequestApprovalResponse } from './generated/v2/PermissionsRequestApprovalResponse.ts';
import type { SandboxPolicy } from './generated/v2/SandboxPolicy.ts';
import type { ThreadResumeParams } from './generated/v2/ThreadResumeParams.ts';
import type { ToolRequestUserInputResponse } from './generated/v2/ToolRequestUserInputResponse.ts';
import type { TurnStartParams } from './generated/v2/TurnStartParams.ts';
import type { TurnSteerParams } from './generated/v2/TurnSteerParams.ts';
import { modelProviderName, workspacePath } from './rollout.ts';

/** Said once per model response or per process, and of no session: not worth an event each. */
const unwantedNotifications = ['account/rateLimits/updated', 'remoteControl/status/changed', 'thread/goal/cleared'];

export function buildInitialize(fleetVersion: string): InitializeParams {
  return {
    clientInfo: { name: 'codex_fleet', title: 'Codex Fleet', version: fleetVersion },
    capabilities: {
      experimentalApi: true,
      requestAttestation: false,
      optOutNotificationMethods: [...unwantedNotifications],
    },
  };
}

export type ResumeRequest = {
  readonly sessionId: SessionId;
  /** The binding's own: it reaches the thread's model calls and nothing else. */
  readonly credential: string;
  readonly instructions: string | null;
  /** Where the agent sees the workspace: elsewhere only where no cage could be made. */
  readonly workspacePath?: string;
  /** The model of the turn to come, if it names one: another one at turn/start tells the agent of a switch. */
  readonly model: string | null;
};

export function buildThreadResume(request: ResumeRequest): ThreadResumeParams {
  return {
    threadId: request.sessionId,
    cwd: request.workspacePath ?? workspacePath,
    // Read-only, so that the workspace is not trusted and its .codex has no power; each turn says its own,
    // and whom it asks.
    sandbox: 'read-only',
    approvalPolicy: 'never',
    excludeTurns: true,
    model: request.model,
    modelProvider: modelProviderName,
    developerInstructions: request.instructions,
    config: { [`model_providers.${modelProviderName}.experimental_bearer_token`]: request.credential },
  };
}

export type SandboxRequest = {
  readonly sandbox: SandboxMode;
  readonly network: boolean;
  /** As in ResumeRequest. */
  readonly workspacePath?: string;
};

export type TurnRequest = {
  readonly sessionId: SessionId;
  readonly prompt: string;
  /** When Codex asks a person. */
  readonly approvals: ApprovalPolicy;
  readonly model: string | null;
  readonly effort?: string | null;
  readonly outputSchema?: JsonValue | null;
} & SandboxRequest;

export function buildTurnStart(request: TurnRequest): TurnStartParams {
  return {
    threadId: request.sessionId,
    input: [{ type: 'text', text: request.prompt, text_elements: [] }],
    cwd: request.workspacePath ?? workspacePath,
    approvalPolicy: request.approvals,
    // A person, never a model that decides in one's place.
    approvalsReviewer: 'user',
    sandboxPolicy: sandboxPolicy(request),
    model: request.model,
    effort: request.effort ?? null,
    outputSchema: request.outputSchema ?? null,
  };
}

export type SteerRequest = {
  readonly sessionId: SessionId;
  /** Codex's own id of the turn that runs: the text goes to no other. */
  readonly expectedTurnId: string;
  readonly text: string;
};

export function buildTurnSteer({ expectedTurnId, sessionId, text }: SteerRequest): TurnSteerParams {
  return { threadId: sessionId, expectedTurnId, input: [{ type: 'text', text, text_elements: [] }] };
}

/** What a one-off command may print, of each stream; Codex cuts the rest. */
const commandOutputMaxBytes = 1024 * 1024;

export type CommandCall = {
  readonly command: readonly string[];
  readonly timeoutMs: number;
} & SandboxRequest;

export function buildCommandExec(call: CommandCall): CommandExecParams {
  return {
    command: [...call.command],
    cwd: call.workspacePath ?? workspacePath,
    timeoutMs: call.timeoutMs,
    outputBytesCap: commandOutputMaxBytes,
    sandboxPolicy: sandboxPolicy(call),
  };
}

function sandboxPolicy(request: SandboxRequest): SandboxPolicy {
  const { network } = request;
  switch (request.sandbox) {
    case 'read-only':
      return { type: 'readOnly', networkAccess: network };
    case 'workspace-write': {
      const ws = request.workspacePath ?? workspacePath;
      return {
        type: 'workspaceWrite',
        // The workspace itself, because a one-off command knows no thread; and .git, which Codex keeps
        // read-only otherwise, so that `git commit` fails. It need not exist yet.
        writableRoots: [ws, `${ws}/.git`],
        networkAccess: network,
        excludeTmpdirEnvVar: false,
        excludeSlashTmp: false,
      };
    }
    case 'danger-full-access':
      return { type: 'dangerFullAccess' };
  }
}

export type RpcError = { readonly code: number; readonly message: string };
export type Answer = { readonly result: unknown } | { readonly error: RpcError };

const refusalReason = 'Nobody is there to decide; go on without it.';

/**
 * The answer that grants nothing and lets the turn go on. Every request gets one: Codex waits for
 * each without a deadline of its own.
 */
export function refusal(request: ServerRequest): Answer {
  switch (request.method) {
    case 'item/commandExecution/requestApproval':
      return { result: { decision: 'decline' } satisfies CommandExecutionRequestApprovalResponse };
    case 'item/fileChange/requestApproval':
      return { result: { decision: 'decline' } satisfies FileChangeRequestApprovalResponse };
    case 'item/permissions/requestApproval':
      return { result: { permissions: {}, scope: 'turn' } satisfies PermissionsRequestApprovalResponse };
    case 'item/tool/requestUserInput':
      return { result: { answers: {} } satisfies ToolRequestUserInputResponse };
    case 'item/tool/call': {
      const contentItems: DynamicToolCallResponse['contentItems'] = [{ type: 'inputText', text: refusalReason }];
      return { result: { contentItems, success: false } satisfies DynamicToolCallResponse };
    }
    case 'mcpServer/elicitation/request':
      return {
        result: { action: 'decline', content: null, _meta: null } satisfies McpServerElicitationRequestResponse,
      };
    case 'applyPatchApproval':
      return { result: { decision: { denied: { rejection: refusalReason } } } satisfies ApplyPatchApprovalResponse };
    case 'execCommandApproval':
      return { result: { decision: { denied: { rejection: refusalReason } } } satisfies ExecCommandApprovalResponse };
    case 'account/chatgptAuthTokens/refresh':
    case 'attestation/generate':
    case 'currentTime/read':
      return unsupported(request.method);
    default:
      // A method that these types do not know: the compiler proves that there is none, the wire may differ.
      return unsupported((request satisfies never as { readonly method: string }).method);
  }
}

function unsupported(method: string): Answer {
  return { error: { code: -32601, message: `this client does not answer ${method}` } };
}
