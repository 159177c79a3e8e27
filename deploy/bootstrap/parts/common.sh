set -euo pipefail

if ((BASH_VERSINFO[0] * 10 + BASH_VERSINFO[1] < 44)); then
  echo "$0: needs bash 4.4 or newer (this is $BASH_VERSION); Cloud Shell has one" >&2
  exit 2
fi

PROJECT='' REGION='' PROFILE=prod DOMAIN='' DNS_ZONE=''
dry_run=0

# How long something that may pass by itself is tried again, and between two looks at something that takes long.
retry_budget_s=${BOOTSTRAP_RETRY_BUDGET_S:-240}
pause_s=${BOOTSTRAP_PAUSE_S:-10}

# In lower case. What Google says when a thing is not there; and what it says for a while after something was made.
not_there='not.?found|does not exist'
already_there='already.?exists'
passing='has not been used in project|is disabled|service_disabled|service account .* does not exist|identity pool does not exist|principal .* does not exist|concurrent|aborted|etag|try again|temporarily|unavailable|deadline.?exceeded|timed out|connection reset|being (created|updated|used)|in progress|not ready|resourceinuse|resource_in_use|incompatible operation|too many requests|quota exceeded for quota metric|rate.?limit'

say() { printf '%s\n' "$*"; }
usage_error() {
  printf '%s: %s\n' "$(basename -- "$0")" "$1" >&2
  printf 'try %s --help\n' "$(basename -- "$0")" >&2
  exit 2
}

# ── One step ─────────────────────────────────────────────────────────────────────────────────────────────────────

step_name=''
steps_made=0
declare -A listed=()

step() { # NAME KIND ID
  step_name=$1
  if ((dry_run)); then printf '\n# %s: %s %s\n' "$1" "$2" "$3"; else printf '%s: %s %s\n' "$1" "$2" "$3"; fi
}

quoted() {
  local word text=''
  for word in "$@"; do
    if [[ $word == '|' || $word =~ ^[A-Za-z0-9_./:=@,%+-]+$ ]]; then text+=" $word"; else text+=" '${word//\'/\'\\\'\'}'"; fi
  done
  printf '%s' "${text# }"
}

tell() { # COMMENT COMMAND…
  local comment=$1
  shift
  printf '%s%s\n' "$(quoted "$@")" "${comment:+ # $comment}"
}

# A word | parts two commands: what is secret goes from one to the next, and is never a word of a command.
pipeline() {
  local words=()
  while (($#)) && [[ $1 != '|' ]]; do
    words+=("$1")
    shift
  done
  if (($# == 0)); then
    "${words[@]}"
  else
    shift
    "${words[@]}" | pipeline "$@"
  fi
}

output='' problem=''
capture() { # COMMAND…
  local code=0
  output=$(pipeline "$@" 2>"$WORK/problem" </dev/null) || code=$?
  problem=$(<"$WORK/problem")
  return "$code"
}

stop() { # WHAT WENT WRONG, COMMAND…
  local what=$1
  shift
  {
    printf '\nstopped at %s: %s\n' "$step_name" "$what"
    (($#)) && printf '  command: %s\n' "$(quoted "$@")"
    [[ -n $problem ]] && printf '%s\n' "$problem" | tail -n 20 | sed 's/^/  | /'
    printf '%s\n' "$how_to_go_on"
  } >&2
  exit 1
}

# Tries again what may pass by itself, for as long as the budget lasts.
persist() { # COMMAND…
  local began_s=$SECONDS wait_s=$pause_s said
  until capture "$@"; do
    said=${problem,,}
    if [[ $said =~ $already_there ]]; then return 0; fi
    if ! [[ $said =~ $passing ]]; then stop 'the command failed' "$@"; fi
    if ((SECONDS - began_s >= retry_budget_s)); then stop "it still fails after $((SECONDS - began_s)) s" "$@"; fi
    say "  not yet ($(head -n 1 <<<"$problem" | cut -c 1-120)); again in $wait_s s"
    sleep "$wait_s"
    wait_s=$((wait_s < 30 ? wait_s * 2 : 30))
  done
}

change() { # COMMAND…
  if ((dry_run)); then
    tell '' "$@"
    return
  fi
  steps_made=$((steps_made + 1))
  persist "$@"
}

# Changes nothing that anybody else sees.
always() { # COMMAND…
  if ((dry_run)); then tell '' "$@"; else persist "$@"; fi
}

# ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

# Absent is what says so; a failure of another kind is not an answer.
looked() { # COMMAND…
  local began_s=$SECONDS said
  until capture "$@"; do
    said=${problem,,}
    if [[ $said =~ $not_there ]]; then return 1; fi
    if ! [[ $said =~ $passing ]] || ((SECONDS - began_s >= retry_budget_s)); then stop 'could not look' "$@"; fi
    sleep "$pause_s"
  done
}

has() { # COMMAND…
  if ((dry_run)); then
    tell 'is it there?' "$@"
    return 1
  fi
  looked "$@"
}

# One list answers for all that is looked for in it.
shows() { # LINE… -- COMMAND…
  local wanted=() line key
  while [[ $1 != -- ]]; do
    wanted+=("$1")
    shift
  done
  shift
  key=$*
  if [[ -z ${listed[$key]+known} ]]; then
    if ((dry_run)); then
      tell 'is it there?' "$@"
      output=''
    else
      looked "$@" || output=''
    fi
    listed[$key]=$'\n'$output$'\n'
  fi
  if ((${#wanted[@]} == 0)); then
    [[ ${listed[$key]} == *[![:space:]]* ]]
    return
  fi
  for line in "${wanted[@]}"; do
    [[ ${listed[$key]} == *$'\n'"$line"$'\n'* ]] || return 1
  done
}

same() { # kubectl diff …
  if ((dry_run)); then
    tell 'is it the same?' "$@"
    return 1
  fi
  local code=0
  capture "$@" || code=$?
  if ((code > 1)); then stop 'could not compare' "$@"; fi
  return "$code"
}

await() { # LINE MINUTES COMMAND…
  local line=$1 minutes=$2 until_s
  shift 2
  if ((dry_run)); then
    tell "until it prints $line, for $minutes minutes at most" "$@"
    return
  fi
  until_s=$((SECONDS + minutes * 60))
  until looked "$@" && [[ $output == "$line" ]]; do
    if ((SECONDS >= until_s)); then stop "it is ${output:-absent}, and not $line, after $minutes minutes" "$@"; fi
    say "  ${output:-absent}; waiting for $line"
    sleep "$pause_s"
  done
}

read_into() { # NAME COMMAND…
  local name=$1
  shift
  if ((dry_run)); then
    tell "read into $name" "$@"
    printf -v "$name" '%s' "$name"
    return
  fi
  persist "$@"
  [[ -n $output ]] || stop "it printed nothing, where $name was expected" "$@"
  printf -v "$name" '%s' "$output"
}

save() { # FILE COMMAND…
  local file=$1
  shift
  if ((dry_run)); then
    tell "into $file" "$@"
    return
  fi
  persist "$@"
  [[ -n $output ]] || stop "it printed nothing, where $file was expected" "$@"
  printf '%s\n' "$output" >"$file"
}

# ── Where it runs ────────────────────────────────────────────────────────────────────────────────────────────────

need_tools() { # TOOL…
  local tool missing=()
  ((dry_run)) && return
  for tool in "$@"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  ((${#missing[@]} == 0)) || usage_error "these commands are needed and not installed: ${missing[*]}"
}

open_work() {
  if ((dry_run)); then
    WORK=WORK
  else
    umask 077
    WORK=$(mktemp -d)
    trap 'rm -rf -- "$WORK"' EXIT
  fi
  # Neither the account's settings nor its way into other clusters are touched.
  export KUBECONFIG="$WORK/kubeconfig" CLOUDSDK_CORE_DISABLE_PROMPTS=1
}

check_place() {
  [[ $PROJECT =~ ^[a-z][a-z0-9-]{4,28}[a-z0-9]$ ]] ||
    usage_error "--project wants the id of a project (6 to 30 small letters, digits and -), not '$PROJECT'"
  [[ $REGION =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || usage_error "--region wants a region such as us-central1, not '$REGION'"
  [[ $PROFILE == dev || $PROFILE == prod ]] || usage_error "--profile wants dev or prod, not '$PROFILE'"
  [[ -z $DNS_ZONE || $DNS_ZONE =~ ^[a-z][a-z0-9-]{0,62}$ ]] ||
    usage_error "--dns-zone wants the name of a zone of Cloud DNS, not '$DNS_ZONE'"
}

check_domain() {
  [[ $DOMAIN =~ ^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$ ]] ||
    usage_error "--domain wants a host name such as codex.example.com, not '$DOMAIN'"
}
