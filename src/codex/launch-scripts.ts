// The two small programs that stand around Codex: the watchdog, which is pid 1 of the cage, and the
// door, which opens the one way out of the cage's network and then leaves. Neither is reachable as a file.

/** Where Codex finds the model inside a cage with a network of its own. */
export const cagedDoorPort = 7070;

/** Exit code of the watchdog when the heartbeat stopped; others are Codex's own. */
export const heartbeatLostExitCode = 125;

/** What the launcher's file descriptors are. Not 0 and 1 for Codex: those the watchdog's other children inherit. */
export const launchFds = { door: 3, agentStdin: 4, agentStdout: 5, heartbeat: 6, cageInfo: 7 } as const;

/**
 * When memory runs out the kernel is to choose what runs here, not the fleet: raising that needs no privilege.
 *
 * Arguments: seconds without a heartbeat, the door's program or nothing, `group` to end the whole
 * process group where no namespace does, and the command of the agent.
 *
 * As pid 1 it cannot be signalled from inside, its end is the end of the cage, and it ends when the
 * heartbeat stops: the worker was stopped or killed. Each beat also checks that Codex lives.
 * Files that the worker itself was started with, and knows nothing of, are closed first.
 * The heartbeat is a socket, so what runs inside cannot open it through /proc and write beats itself.
 */
export const watchdogScript = `
limit=$1 door=$2 group=$3
shift 3
{ echo 1000 > /proc/self/oom_score_adj; } 2>/dev/null
for open in /proc/$$/fd/*; do
  fd=\${open##*/}
  if [ "$fd" -gt 7 ] && [ "$fd" -lt 255 ]; then eval "exec $fd>&-"; fi
done
if [ -n "$door" ]; then
  NODE_CHANNEL_FD=3 /opt/fleet/node -e "$door" </dev/null >/dev/null 4<&- 5>&- 6<&- 7>&- &
fi
"$@" <&4 >&5 3>&- 4<&- 5>&- 6<&- 7>&- &
agent=$!
exec 3>&- 4<&- 5>&- 7>&-
while read -r -t "$limit" -u 6 _; do
  kill -0 "$agent" 2>/dev/null || { wait "$agent"; exit $?; }
done
echo 'watchdog: no heartbeat from the worker' >&2
if [ "$group" = group ]; then kill -KILL -- "-$$"; fi
exit ${heartbeatLostExitCode}
`;

/**
 * Listens inside the cage's network namespace and hands the listening socket out over the IPC channel:
 * the worker accepts the connections, and no process of ours stays inside.
 */
export const doorScript = `
const server = require('node:net').createServer();
server.listen(${cagedDoorPort}, '127.0.0.1', () => process.send('door', server, {}, (error) => process.exit(error ? 3 : 0)));
`;
