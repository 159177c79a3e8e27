#!/usr/bin/env bash
# Makes what a fleet needs on Google Cloud: see --help and deploy/bootstrap/README.md.
# Written by tools/generate-bootstrap.ts from the table in deploy/bootstrap/resources.ts and from parts/. Do not edit.
# shellcheck disable=SC2016 # what stands in single quotes is for awk
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

DEPLOY=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
FIRESTORE_LOCATION='' MODEL_KEY_FILE='' SOFT_DELETE=''
update=0
# shellcheck disable=SC2034 # read by stop
how_to_go_on='What was made stays. Once the cause is gone, run the same command again: it finds what is there and goes on.'

help() {
  cat <<'HELP'
Makes what a fleet needs on Google Cloud, in an empty project or one that has some of it already. What is there is
left as it is: a second run changes nothing.

  bootstrap.sh --project PROJECT --region REGION --domain HOST [options]

  --project PROJECT           the project; it exists and has billing
  --region REGION             where everything is, such as us-central1
  --domain HOST               the host name of the API, such as codex.example.com
  --profile dev|prod          dev: no Memorystore, no Cloud Armor, nothing scanned, deletions are final (prod)
  --model-key-file FILE       a file with the key of the model; without it the variable OPENAI_API_KEY is read, or
                              the key is asked for. Not needed once the secret codex-model-key has a value.
  --dns-zone ZONE             a zone of Cloud DNS in this project that has HOST: its records are written there
  --firestore-location PLACE  where the records are, if not in REGION (such as nam5 or eur3)
  --update                    what is there is made like what would be made now, where that can be changed
  --dry-run                   prints each command instead of running it; needs neither credentials nor a network
HELP
}

value_of() { # OPTION WORDS-LEFT NEXT-WORD
  if (($2 < 2)) || [[ $3 == --* ]]; then usage_error "$1 wants a value"; fi
}

while (($#)); do
  option=$1
  case $option in
    --*=*) set -- "${option%%=*}" "${option#*=}" "${@:2}" ;;
    --project | --region | --domain | --profile | --model-key-file | --dns-zone | --firestore-location)
      value_of "$option" $# "${2:-}"
      case $option in
        --project) PROJECT=$2 ;;
        --region) REGION=$2 ;;
        --domain) DOMAIN=$2 ;;
        --profile) PROFILE=$2 ;;
        --model-key-file) MODEL_KEY_FILE=$2 ;;
        --dns-zone) DNS_ZONE=$2 ;;
        --firestore-location) FIRESTORE_LOCATION=$2 ;;
      esac
      shift 2
      ;;
    --update) update=1 && shift ;;
    --dry-run) dry_run=1 && shift ;;
    --help | -h) help && exit 0 ;;
    *) usage_error "there is no option $option" ;;
  esac
done

check_place
check_domain
: "${FIRESTORE_LOCATION:=$REGION}"
[[ $FIRESTORE_LOCATION =~ ^[a-z]+(-[a-z]+)?[0-9]+$ ]] ||
  usage_error "--firestore-location wants a region, or nam5 or eur3, not '$FIRESTORE_LOCATION'"
[[ -z $MODEL_KEY_FILE || -r $MODEL_KEY_FILE ]] || usage_error "--model-key-file: '$MODEL_KEY_FILE' cannot be read"
# As long as the past of the records: both can be brought back to the same moment.
if [[ $PROFILE == prod ]]; then SOFT_DELETE=7d; else SOFT_DELETE=0; fi
need_tools gcloud kubectl gke-gcloud-auth-plugin openssl awk diff
open_work

# The key, without the end of its line. It is never a word of a command.
read_model_key() {
  local key=''
  if [[ -n $MODEL_KEY_FILE ]]; then
    key=$(tr -d '\r\n' <"$MODEL_KEY_FILE")
  elif [[ -n ${OPENAI_API_KEY:-} ]]; then
    key=$OPENAI_API_KEY
  elif { : >/dev/tty; } 2>/dev/null; then
    printf 'The key of the model (it is not shown): ' >/dev/tty
    read -r -s key </dev/tty || key=''
    echo >/dev/tty
  fi
  if [[ -z $key ]]; then
    echo 'no key of the model: give --model-key-file, or OPENAI_API_KEY in the environment' >&2
    return 1
  fi
  printf '%s' "$key"
}

# ── The resources ──────────────────────────────────────────────────────────────────────────────────────────────────
step project project "$PROJECT"
read_into PROJECT_NUMBER gcloud projects describe "$PROJECT" '--format=value(projectNumber)'

step services 'services of the project' 'artifactregistry.googleapis.com certificatemanager.googleapis.com cloudbuild.googleapis.com cloudresourcemanager.googleapis.com compute.googleapis.com container.googleapis.com firestore.googleapis.com iam.googleapis.com logging.googleapis.com monitoring.googleapis.com pubsub.googleapis.com secretmanager.googleapis.com storage.googleapis.com'
if ! shows artifactregistry.googleapis.com certificatemanager.googleapis.com cloudbuild.googleapis.com cloudresourcemanager.googleapis.com compute.googleapis.com container.googleapis.com firestore.googleapis.com iam.googleapis.com logging.googleapis.com monitoring.googleapis.com pubsub.googleapis.com secretmanager.googleapis.com storage.googleapis.com -- gcloud services list --enabled '--format=value(config.name)' "--project=$PROJECT"; then
  change gcloud services enable artifactregistry.googleapis.com certificatemanager.googleapis.com cloudbuild.googleapis.com cloudresourcemanager.googleapis.com compute.googleapis.com container.googleapis.com firestore.googleapis.com iam.googleapis.com logging.googleapis.com monitoring.googleapis.com pubsub.googleapis.com secretmanager.googleapis.com storage.googleapis.com "--project=$PROJECT"
fi

if [[ $PROFILE == prod ]]; then
  step services-prod 'services of the project' 'containerscanning.googleapis.com memorystore.googleapis.com networkconnectivity.googleapis.com serviceconsumermanagement.googleapis.com'
  if ! shows containerscanning.googleapis.com memorystore.googleapis.com networkconnectivity.googleapis.com serviceconsumermanagement.googleapis.com -- gcloud services list --enabled '--format=value(config.name)' "--project=$PROJECT"; then
    change gcloud services enable containerscanning.googleapis.com memorystore.googleapis.com networkconnectivity.googleapis.com serviceconsumermanagement.googleapis.com "--project=$PROJECT"
  fi
fi

if [[ -n $DNS_ZONE ]]; then
  step services-dns 'services of the project' dns.googleapis.com
  if ! shows dns.googleapis.com -- gcloud services list --enabled '--format=value(config.name)' "--project=$PROJECT"; then
    change gcloud services enable dns.googleapis.com "--project=$PROJECT"
  fi
fi

step network 'VPC network' codex
if ! has gcloud compute networks describe codex "--project=$PROJECT"; then
  change gcloud compute networks create codex --subnet-mode=custom "--project=$PROJECT"
fi

step subnet 'subnetwork with ranges for pods and services' codex
if ! has gcloud compute networks subnets describe codex "--region=$REGION" "--project=$PROJECT"; then
  change gcloud compute networks subnets create codex "--region=$REGION" --network=codex --range=10.10.0.0/20 --secondary-range=pods=10.20.0.0/16,services=10.30.0.0/20 --enable-private-ip-google-access "--project=$PROJECT"
fi

step router 'Cloud Router' codex
if ! has gcloud compute routers describe codex "--region=$REGION" "--project=$PROJECT"; then
  change gcloud compute routers create codex "--region=$REGION" --network=codex "--project=$PROJECT"
fi

step nat 'Cloud NAT' codex
if ! has gcloud compute routers nats describe codex --router=codex "--region=$REGION" "--project=$PROJECT"; then
  change gcloud compute routers nats create codex --router=codex "--region=$REGION" --auto-allocate-nat-external-ips --nat-all-subnet-ip-ranges --enable-dynamic-port-allocation --enable-logging --log-filter=ERRORS_ONLY "--project=$PROJECT"
fi

step nodes-account 'service account of the nodes' "codex-nodes@$PROJECT.iam.gserviceaccount.com"
if ! has gcloud iam service-accounts describe "codex-nodes@$PROJECT.iam.gserviceaccount.com" "--project=$PROJECT"; then
  change gcloud iam service-accounts create codex-nodes '--display-name=Codex Fleet: nodes' "--project=$PROJECT"
fi

step build-account 'service account of the image builds' "codex-build@$PROJECT.iam.gserviceaccount.com"
if ! has gcloud iam service-accounts describe "codex-build@$PROJECT.iam.gserviceaccount.com" "--project=$PROJECT"; then
  change gcloud iam service-accounts create codex-build '--display-name=Codex Fleet: build' "--project=$PROJECT"
fi

step images 'Artifact Registry repository' codex
if ! has gcloud artifacts repositories describe codex "--location=$REGION" "--project=$PROJECT"; then
  change gcloud artifacts repositories create codex "--location=$REGION" --repository-format=docker '--description=Images of Codex Fleet' "--project=$PROJECT"
fi

step build-sources 'bucket of what is sent to Cloud Build' "$PROJECT-codex-build"
if ! has gcloud storage buckets describe "gs://$PROJECT-codex-build" "--project=$PROJECT"; then
  change gcloud storage buckets create "gs://$PROJECT-codex-build" "--location=$REGION" --uniform-bucket-level-access --public-access-prevention --soft-delete-duration=0 "--project=$PROJECT"
fi

step build-writes-images 'IAM binding' roles/artifactregistry.writer
if ! shows "roles/artifactregistry.writer|serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com|" -- gcloud artifacts repositories get-iam-policy codex "--location=$REGION" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud artifacts repositories add-iam-policy-binding codex "--location=$REGION" "--member=serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com" --role=roles/artifactregistry.writer --format=none "--project=$PROJECT"
fi

step build-reads-sources 'IAM binding' roles/storage.objectUser
if ! shows "roles/storage.objectUser|serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com|" -- gcloud storage buckets get-iam-policy "gs://$PROJECT-codex-build" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud storage buckets add-iam-policy-binding "gs://$PROJECT-codex-build" "--member=serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com" --role=roles/storage.objectUser --format=none "--project=$PROJECT"
fi

step build-writes-logs 'IAM binding' roles/logging.logWriter
if ! shows "roles/logging.logWriter|serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com|" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)'; then
  change gcloud projects add-iam-policy-binding "$PROJECT" "--member=serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com" --role=roles/logging.logWriter --condition=None --format=none
fi

step nodes-read-images 'IAM binding' roles/artifactregistry.reader
if ! shows "roles/artifactregistry.reader|serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com|" -- gcloud artifacts repositories get-iam-policy codex "--location=$REGION" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud artifacts repositories add-iam-policy-binding codex "--location=$REGION" "--member=serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com" --role=roles/artifactregistry.reader --format=none "--project=$PROJECT"
fi

step nodes-report 'IAM binding' roles/container.defaultNodeServiceAccount
if ! shows "roles/container.defaultNodeServiceAccount|serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com|" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)'; then
  change gcloud projects add-iam-policy-binding "$PROJECT" "--member=serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com" --role=roles/container.defaultNodeServiceAccount --condition=None --format=none
fi

step cluster-secret 'what the roles know one another by' codex-cluster-secret
if ! has gcloud secrets describe codex-cluster-secret "--project=$PROJECT"; then
  change gcloud secrets create codex-cluster-secret --replication-policy=automatic "--project=$PROJECT"
fi

step cluster-secret-value 'the value: what the roles know one another by' codex-cluster-secret
if ! shows -- gcloud secrets versions list codex-cluster-secret --filter=state=ENABLED '--format=value(name)' "--project=$PROJECT"; then
  change openssl rand -hex 32 '|' tr -d '\n' '|' gcloud secrets versions add codex-cluster-secret --data-file=- "--project=$PROJECT"
fi

step tokens 'the tokens of callers' codex-tokens
if ! has gcloud secrets describe codex-tokens "--project=$PROJECT"; then
  change gcloud secrets create codex-tokens --replication-policy=automatic "--project=$PROJECT"
fi

step tokens-value 'the value: the tokens of callers' codex-tokens
if ! shows -- gcloud secrets versions list codex-tokens --filter=state=ENABLED '--format=value(name)' "--project=$PROJECT"; then
  change openssl rand -hex 32 '|' awk '{ printf "[[tokens]]\nname = \"first\"\ntenant = \"default\"\ntoken = \"%s\"\n", $1 }' '|' gcloud secrets versions add codex-tokens --data-file=- "--project=$PROJECT"
fi

step metrics-token 'what collectors of metrics show' codex-metrics-token
if ! has gcloud secrets describe codex-metrics-token "--project=$PROJECT"; then
  change gcloud secrets create codex-metrics-token --replication-policy=automatic "--project=$PROJECT"
fi

step metrics-token-value 'the value: what collectors of metrics show' codex-metrics-token
if ! shows -- gcloud secrets versions list codex-metrics-token --filter=state=ENABLED '--format=value(name)' "--project=$PROJECT"; then
  change openssl rand -hex 32 '|' tr -d '\n' '|' gcloud secrets versions add codex-metrics-token --data-file=- "--project=$PROJECT"
fi

if [[ $PROFILE == dev ]]; then
  step redis-url 'the address of the Valkey in the cluster, with its password' codex-redis-url
  if ! has gcloud secrets describe codex-redis-url "--project=$PROJECT"; then
    change gcloud secrets create codex-redis-url --replication-policy=automatic "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == dev ]]; then
  step redis-url-value 'the value: the address of the Valkey in the cluster, with its password' codex-redis-url
  if ! shows -- gcloud secrets versions list codex-redis-url --filter=state=ENABLED '--format=value(name)' "--project=$PROJECT"; then
    change openssl rand -hex 32 '|' awk '{ printf "redis://:%s@codex-redis:6379", $1 }' '|' gcloud secrets versions add codex-redis-url --data-file=- "--project=$PROJECT"
  fi
fi

step model-key 'the key of the model' codex-model-key
if ! has gcloud secrets describe codex-model-key "--project=$PROJECT"; then
  change gcloud secrets create codex-model-key --replication-policy=automatic "--project=$PROJECT"
fi

step model-key-value 'the value: the key of the model' codex-model-key
if ! shows -- gcloud secrets versions list codex-model-key --filter=state=ENABLED '--format=value(name)' "--project=$PROJECT"; then
  change read_model_key '|' gcloud secrets versions add codex-model-key --data-file=- "--project=$PROJECT"
fi

step address 'static address of the load balancer' codex-ip
if ! has gcloud compute addresses describe codex-ip --global "--project=$PROJECT"; then
  change gcloud compute addresses create codex-ip --global "--project=$PROJECT"
fi
read_into ADDRESS gcloud compute addresses describe codex-ip --global '--format=value(address)' "--project=$PROJECT"

step dns-authorization 'DNS authorization' codex-dns
if ! has gcloud certificate-manager dns-authorizations describe codex-dns "--project=$PROJECT"; then
  change gcloud certificate-manager dns-authorizations create codex-dns "--domain=$DOMAIN" "--project=$PROJECT"
fi
read_into AUTHORIZATION_NAME gcloud certificate-manager dns-authorizations describe codex-dns '--format=value(dnsResourceRecord.name)' "--project=$PROJECT"
read_into AUTHORIZATION_DATA gcloud certificate-manager dns-authorizations describe codex-dns '--format=value(dnsResourceRecord.data)' "--project=$PROJECT"

if [[ -n $DNS_ZONE ]]; then
  step address-record 'A record in Cloud DNS' "$DOMAIN."
  if ! has gcloud dns record-sets describe "$DOMAIN." --type=A "--zone=$DNS_ZONE" "--project=$PROJECT"; then
    change gcloud dns record-sets create "$DOMAIN." --type=A "--zone=$DNS_ZONE" "--rrdatas=$ADDRESS" --ttl=300 "--project=$PROJECT"
  fi
  if ((update)); then
    change gcloud dns record-sets update "$DOMAIN." --type=A "--zone=$DNS_ZONE" "--rrdatas=$ADDRESS" --ttl=300 "--project=$PROJECT"
  fi
fi

if [[ -n $DNS_ZONE ]]; then
  step authorization-record 'CNAME record in Cloud DNS' "$AUTHORIZATION_NAME"
  if ! has gcloud dns record-sets describe "$AUTHORIZATION_NAME" --type=CNAME "--zone=$DNS_ZONE" "--project=$PROJECT"; then
    change gcloud dns record-sets create "$AUTHORIZATION_NAME" --type=CNAME "--zone=$DNS_ZONE" "--rrdatas=$AUTHORIZATION_DATA" --ttl=300 "--project=$PROJECT"
  fi
  if ((update)); then
    change gcloud dns record-sets update "$AUTHORIZATION_NAME" --type=CNAME "--zone=$DNS_ZONE" "--rrdatas=$AUTHORIZATION_DATA" --ttl=300 "--project=$PROJECT"
  fi
fi

step certificate certificate codex-cert
if ! has gcloud certificate-manager certificates describe codex-cert "--project=$PROJECT"; then
  change gcloud certificate-manager certificates create codex-cert "--domains=$DOMAIN" --dns-authorizations=codex-dns "--project=$PROJECT"
fi

step certificate-map 'certificate map' codex-certmap
if ! has gcloud certificate-manager maps describe codex-certmap "--project=$PROJECT"; then
  change gcloud certificate-manager maps create codex-certmap "--project=$PROJECT"
fi

step certificate-entry 'entry of the certificate map' codex
if ! has gcloud certificate-manager maps entries describe codex --map=codex-certmap "--project=$PROJECT"; then
  change gcloud certificate-manager maps entries create codex --map=codex-certmap --certificates=codex-cert "--hostname=$DOMAIN" "--project=$PROJECT"
fi

step tls-policy 'SSL policy' codex-tls
if ! has gcloud compute ssl-policies describe codex-tls "--project=$PROJECT"; then
  change gcloud compute ssl-policies create codex-tls --profile=MODERN --min-tls-version=1.2 --global "--project=$PROJECT"
fi

if [[ $PROFILE == prod ]]; then
  step armor 'Cloud Armor policy' codex-armor
  if ! has gcloud compute security-policies describe codex-armor "--project=$PROJECT"; then
    change gcloud compute security-policies create codex-armor --type=CLOUD_ARMOR --global "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step armor-rate 'rule of the Cloud Armor policy' 1000
  if ! has gcloud compute security-policies rules describe 1000 --security-policy=codex-armor "--project=$PROJECT"; then
    change gcloud compute security-policies rules create 1000 --security-policy=codex-armor '--src-ip-ranges=*' --action=throttle --conform-action=allow --exceed-action=deny-429 --rate-limit-threshold-count=1200 --rate-limit-threshold-interval-sec=60 --enforce-on-key=ip "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step armor-metrics 'rule of the Cloud Armor policy' 900
  if ! has gcloud compute security-policies rules describe 900 --security-policy=codex-armor "--project=$PROJECT"; then
    change gcloud compute security-policies rules create 900 --security-policy=codex-armor '--expression=request.path == '\''/metrics'\''' --action=deny-404 "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step redis-subnet 'subnetwork of the endpoints of Valkey' codex-redis
  if ! has gcloud compute networks subnets describe codex-redis "--region=$REGION" "--project=$PROJECT"; then
    change gcloud compute networks subnets create codex-redis "--region=$REGION" --network=codex --range=10.40.0.0/29 "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step redis-connections 'service connection policy' codex-redis
  if ! has gcloud network-connectivity service-connection-policies describe codex-redis "--region=$REGION" "--project=$PROJECT"; then
    change gcloud network-connectivity service-connection-policies create codex-redis "--region=$REGION" --network=codex --service-class=gcp-memorystore "--subnets=https://www.googleapis.com/compute/v1/projects/$PROJECT/regions/$REGION/subnetworks/codex-redis" "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step redis 'Memorystore for Valkey' codex
  if ! has gcloud memorystore instances describe codex "--location=$REGION" "--project=$PROJECT"; then
    change gcloud memorystore instances create codex "--location=$REGION" --mode=cluster-disabled --shard-count=1 --replica-count=1 --node-type=standard-small --engine-version=VALKEY_8_0 --engine-configs=maxmemory-policy=noeviction --transit-encryption-mode=server-authentication --authorization-mode=auth-disabled --persistence-config-mode=aof --aof-config-append-fsync=every-sec --deletion-protection-enabled "--endpoints=[{\"connections\":[{\"pscAutoConnection\":{\"network\":\"projects/$PROJECT/global/networks/codex\",\"projectId\":\"$PROJECT\"}}]}]" "--project=$PROJECT"
  fi
  await ACTIVE 30 gcloud memorystore instances describe codex "--location=$REGION" '--format=value(state)' "--project=$PROJECT"
  read_into REDIS_HOST gcloud memorystore instances describe codex "--location=$REGION" '--flatten=endpoints[].connections[]' '--format=value(endpoints.connections.pscAutoConnection.connectionType,endpoints.connections.pscAutoConnection.ipAddress)' "--project=$PROJECT" '|' awk '$1 == "CONNECTION_TYPE_PRIMARY" { print $2 }'
fi

step cluster 'GKE Autopilot cluster' codex
if ! has gcloud container clusters describe codex "--location=$REGION" "--project=$PROJECT"; then
  change gcloud container clusters create-auto codex "--location=$REGION" --release-channel=regular --network=codex --subnetwork=codex --cluster-secondary-range-name=pods --services-secondary-range-name=services --enable-private-nodes --enable-dns-access --no-enable-ip-access --enable-secret-manager "--service-account=codex-nodes@$PROJECT.iam.gserviceaccount.com" "--project=$PROJECT"
fi
if ((update)); then
  change gcloud container clusters update codex "--location=$REGION" --enable-secret-manager "--project=$PROJECT"
fi
await RUNNING 30 gcloud container clusters describe codex "--location=$REGION" '--format=value(status)' "--project=$PROJECT"
read_into CLUSTER_VERSION gcloud container clusters describe codex "--location=$REGION" '--format=value(currentMasterVersion)' "--project=$PROJECT"

if [[ $PROFILE == prod ]]; then
  step fqdn-policies 'the cluster'\''s network policies by host name' codex
  if ! shows True -- gcloud container clusters describe codex "--location=$REGION" '--format=value(networkConfig.enableFqdnNetworkPolicy)' "--project=$PROJECT"; then
    change gcloud container clusters update codex "--location=$REGION" --enable-fqdn-network-policy "--project=$PROJECT"
  fi
fi

step credentials 'the script'\''s own way into the cluster' "$KUBECONFIG"
always gcloud container clusters get-credentials codex "--location=$REGION" --dns-endpoint "--project=$PROJECT"

step records 'Firestore database' codex
if ! has gcloud firestore databases describe --database=codex "--project=$PROJECT"; then
  change gcloud firestore databases create --database=codex "--location=$FIRESTORE_LOCATION" --type=firestore-native --edition=standard --delete-protection --enable-pitr "--project=$PROJECT"
fi
if ((update)); then
  change gcloud firestore databases update --database=codex --delete-protection --enable-pitr "--project=$PROJECT"
fi

if [[ $PROFILE == prod ]]; then
  step records-backups 'schedule of backups' daily
  if ! shows -- gcloud firestore backups schedules list --database=codex '--format=value(name)' "--project=$PROJECT"; then
    change gcloud firestore backups schedules create --database=codex --recurrence=daily --retention=7d "--project=$PROJECT"
  fi
fi

step index-codex-fleet-sessions-collection-group-heldAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-sessions|COLLECTION_GROUP|heldAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-sessions|COLLECTION_GROUP|heldAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-sessions --query-scope=collection-group --field-config=field-path=heldAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-sessions-collection-group-unusedAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-sessions|COLLECTION_GROUP|unusedAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-sessions|COLLECTION_GROUP|unusedAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-sessions --query-scope=collection-group --field-config=field-path=unusedAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-turns-collection-sessionId-ascending-createdAt-ascending 'composite index' 'codex-fleet-turns|COLLECTION|sessionId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-turns|COLLECTION|sessionId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-turns --query-scope=collection --field-config=field-path=sessionId,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-turns-collection-sessionId-ascending-createdAt-descending 'composite index' 'codex-fleet-turns|COLLECTION|sessionId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-turns|COLLECTION|sessionId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-turns --query-scope=collection --field-config=field-path=sessionId,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-turns-collection-openSession-ascending-createdAt-ascending 'composite index' 'codex-fleet-turns|COLLECTION|openSession,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-turns|COLLECTION|openSession,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-turns --query-scope=collection --field-config=field-path=openSession,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-turns-collection-openSession-ascending-createdAt-descending 'composite index' 'codex-fleet-turns|COLLECTION|openSession,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-turns|COLLECTION|openSession,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-turns --query-scope=collection --field-config=field-path=openSession,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-turns-collection-group-openAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-turns|COLLECTION_GROUP|openAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-turns|COLLECTION_GROUP|openAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-turns --query-scope=collection-group --field-config=field-path=openAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-approvals-collection-sessionId-ascending-createdAt-ascending 'composite index' 'codex-fleet-approvals|COLLECTION|sessionId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-approvals|COLLECTION|sessionId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-approvals --query-scope=collection --field-config=field-path=sessionId,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-approvals-collection-sessionId-ascending-createdAt-descending 'composite index' 'codex-fleet-approvals|COLLECTION|sessionId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-approvals|COLLECTION|sessionId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-approvals --query-scope=collection --field-config=field-path=sessionId,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-approvals-collection-status-ascending-createdAt-ascending 'composite index' 'codex-fleet-approvals|COLLECTION|status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-approvals|COLLECTION|status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-approvals --query-scope=collection --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-approvals-collection-status-ascending-createdAt-descending 'composite index' 'codex-fleet-approvals|COLLECTION|status,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-approvals|COLLECTION|status,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-approvals --query-scope=collection --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-approvals-collection-sessionId-ascending-status-ascending-createdAt-ascending 'composite index' 'codex-fleet-approvals|COLLECTION|sessionId,status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-approvals|COLLECTION|sessionId,status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-approvals --query-scope=collection --field-config=field-path=sessionId,order=ascending --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-approvals-collection-sessionId-ascending-status-ascending-createdAt-descending 'composite index' 'codex-fleet-approvals|COLLECTION|sessionId,status,createdAt,__name__|ASCENDING,ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-approvals|COLLECTION|sessionId,status,createdAt,__name__|ASCENDING,ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-approvals --query-scope=collection --field-config=field-path=sessionId,order=ascending --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-approvals-collection-group-dueAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-approvals|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-approvals|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-approvals --query-scope=collection-group --field-config=field-path=dueAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-status-ascending-createdAt-ascending 'composite index' 'codex-fleet-jobs|COLLECTION|status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION|status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-status-ascending-createdAt-descending 'composite index' 'codex-fleet-jobs|COLLECTION|status,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION|status,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-scheduleId-ascending-createdAt-ascending 'composite index' 'codex-fleet-jobs|COLLECTION|scheduleId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION|scheduleId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection --field-config=field-path=scheduleId,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-scheduleId-ascending-createdAt-descending 'composite index' 'codex-fleet-jobs|COLLECTION|scheduleId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION|scheduleId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection --field-config=field-path=scheduleId,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-scheduleId-ascending-status-ascending-createdAt-ascending 'composite index' 'codex-fleet-jobs|COLLECTION|scheduleId,status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION|scheduleId,status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection --field-config=field-path=scheduleId,order=ascending --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-scheduleId-ascending-status-ascending-createdAt-descending 'composite index' 'codex-fleet-jobs|COLLECTION|scheduleId,status,createdAt,__name__|ASCENDING,ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION|scheduleId,status,createdAt,__name__|ASCENDING,ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection --field-config=field-path=scheduleId,order=ascending --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-group-dueAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-jobs|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection-group --field-config=field-path=dueAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-group-runningAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-jobs|COLLECTION_GROUP|runningAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION_GROUP|runningAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection-group --field-config=field-path=runningAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-jobs-collection-group-endedAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-jobs|COLLECTION_GROUP|endedAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-jobs|COLLECTION_GROUP|endedAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-jobs --query-scope=collection-group --field-config=field-path=endedAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-schedules-collection-group-dueAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-schedules|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-schedules|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-schedules --query-scope=collection-group --field-config=field-path=dueAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-deliveries-collection-targetId-ascending-createdAt-ascending 'composite index' 'codex-fleet-deliveries|COLLECTION|targetId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-deliveries|COLLECTION|targetId,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-deliveries --query-scope=collection --field-config=field-path=targetId,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-deliveries-collection-targetId-ascending-createdAt-descending 'composite index' 'codex-fleet-deliveries|COLLECTION|targetId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-deliveries|COLLECTION|targetId,createdAt,__name__|ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-deliveries --query-scope=collection --field-config=field-path=targetId,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-deliveries-collection-targetId-ascending-status-ascending-createdAt-ascending 'composite index' 'codex-fleet-deliveries|COLLECTION|targetId,status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-deliveries|COLLECTION|targetId,status,createdAt,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-deliveries --query-scope=collection --field-config=field-path=targetId,order=ascending --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-deliveries-collection-targetId-ascending-status-ascending-createdAt-descending 'composite index' 'codex-fleet-deliveries|COLLECTION|targetId,status,createdAt,__name__|ASCENDING,ASCENDING,DESCENDING,DESCENDING'
if ! shows 'codex-fleet-deliveries|COLLECTION|targetId,status,createdAt,__name__|ASCENDING,ASCENDING,DESCENDING,DESCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-deliveries --query-scope=collection --field-config=field-path=targetId,order=ascending --field-config=field-path=status,order=ascending --field-config=field-path=createdAt,order=descending "--project=$PROJECT"
fi

step index-codex-fleet-deliveries-collection-pendingLane-ascending-order-ascending 'composite index' 'codex-fleet-deliveries|COLLECTION|pendingLane,order,__name__|ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-deliveries|COLLECTION|pendingLane,order,__name__|ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-deliveries --query-scope=collection --field-config=field-path=pendingLane,order=ascending --field-config=field-path=order,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-deliveries-collection-group-dueAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-deliveries|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-deliveries|COLLECTION_GROUP|dueAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-deliveries --query-scope=collection-group --field-config=field-path=dueAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step index-codex-fleet-deliveries-collection-group-endedAt-ascending-id-ascending-tenant-ascending 'composite index' 'codex-fleet-deliveries|COLLECTION_GROUP|endedAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING'
if ! shows 'codex-fleet-deliveries|COLLECTION_GROUP|endedAt,id,tenant,__name__|ASCENDING,ASCENDING,ASCENDING,ASCENDING' -- gcloud firestore indexes composite list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())' "--project=$PROJECT"; then
  change gcloud firestore indexes composite create --database=codex --async --collection-group=codex-fleet-deliveries --query-scope=collection-group --field-config=field-path=endedAt,order=ascending --field-config=field-path=id,order=ascending --field-config=field-path=tenant,order=ascending "--project=$PROJECT"
fi

step field-codex-fleet-sessions-body 'field without an index' 'codex-fleet-sessions|body'
if ! shows 'codex-fleet-sessions|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-sessions --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-sessions-meta 'field without an index' 'codex-fleet-sessions|meta'
if ! shows 'codex-fleet-sessions|meta' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update meta --database=codex --collection-group=codex-fleet-sessions --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-sessions-id 'field without an index' 'codex-fleet-sessions|id'
if ! shows 'codex-fleet-sessions|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-sessions --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-sessions-tenant 'field without an index' 'codex-fleet-sessions|tenant'
if ! shows 'codex-fleet-sessions|tenant' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update tenant --database=codex --collection-group=codex-fleet-sessions --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-sessions-heldAt 'field without an index' 'codex-fleet-sessions|heldAt'
if ! shows 'codex-fleet-sessions|heldAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update heldAt --database=codex --collection-group=codex-fleet-sessions --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-sessions-unusedAt 'field without an index' 'codex-fleet-sessions|unusedAt'
if ! shows 'codex-fleet-sessions|unusedAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update unusedAt --database=codex --collection-group=codex-fleet-sessions --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-turns-body 'field without an index' 'codex-fleet-turns|body'
if ! shows 'codex-fleet-turns|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-turns --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-turns-meta 'field without an index' 'codex-fleet-turns|meta'
if ! shows 'codex-fleet-turns|meta' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update meta --database=codex --collection-group=codex-fleet-turns --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-turns-id 'field without an index' 'codex-fleet-turns|id'
if ! shows 'codex-fleet-turns|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-turns --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-turns-tenant 'field without an index' 'codex-fleet-turns|tenant'
if ! shows 'codex-fleet-turns|tenant' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update tenant --database=codex --collection-group=codex-fleet-turns --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-turns-openSession 'field without an index' 'codex-fleet-turns|openSession'
if ! shows 'codex-fleet-turns|openSession' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update openSession --database=codex --collection-group=codex-fleet-turns --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-turns-openAt 'field without an index' 'codex-fleet-turns|openAt'
if ! shows 'codex-fleet-turns|openAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update openAt --database=codex --collection-group=codex-fleet-turns --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-approvals-body 'field without an index' 'codex-fleet-approvals|body'
if ! shows 'codex-fleet-approvals|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-approvals --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-approvals-meta 'field without an index' 'codex-fleet-approvals|meta'
if ! shows 'codex-fleet-approvals|meta' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update meta --database=codex --collection-group=codex-fleet-approvals --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-approvals-id 'field without an index' 'codex-fleet-approvals|id'
if ! shows 'codex-fleet-approvals|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-approvals --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-approvals-tenant 'field without an index' 'codex-fleet-approvals|tenant'
if ! shows 'codex-fleet-approvals|tenant' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update tenant --database=codex --collection-group=codex-fleet-approvals --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-approvals-status 'field without an index' 'codex-fleet-approvals|status'
if ! shows 'codex-fleet-approvals|status' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update status --database=codex --collection-group=codex-fleet-approvals --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-approvals-dueAt 'field without an index' 'codex-fleet-approvals|dueAt'
if ! shows 'codex-fleet-approvals|dueAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update dueAt --database=codex --collection-group=codex-fleet-approvals --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-body 'field without an index' 'codex-fleet-jobs|body'
if ! shows 'codex-fleet-jobs|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-meta 'field without an index' 'codex-fleet-jobs|meta'
if ! shows 'codex-fleet-jobs|meta' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update meta --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-id 'field without an index' 'codex-fleet-jobs|id'
if ! shows 'codex-fleet-jobs|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-tenant 'field without an index' 'codex-fleet-jobs|tenant'
if ! shows 'codex-fleet-jobs|tenant' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update tenant --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-status 'field without an index' 'codex-fleet-jobs|status'
if ! shows 'codex-fleet-jobs|status' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update status --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-scheduleId 'field without an index' 'codex-fleet-jobs|scheduleId'
if ! shows 'codex-fleet-jobs|scheduleId' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update scheduleId --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-dueAt 'field without an index' 'codex-fleet-jobs|dueAt'
if ! shows 'codex-fleet-jobs|dueAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update dueAt --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-runningAt 'field without an index' 'codex-fleet-jobs|runningAt'
if ! shows 'codex-fleet-jobs|runningAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update runningAt --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-endedAt 'field without an index' 'codex-fleet-jobs|endedAt'
if ! shows 'codex-fleet-jobs|endedAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update endedAt --database=codex --collection-group=codex-fleet-jobs --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-schedules-body 'field without an index' 'codex-fleet-schedules|body'
if ! shows 'codex-fleet-schedules|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-schedules --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-schedules-meta 'field without an index' 'codex-fleet-schedules|meta'
if ! shows 'codex-fleet-schedules|meta' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update meta --database=codex --collection-group=codex-fleet-schedules --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-schedules-id 'field without an index' 'codex-fleet-schedules|id'
if ! shows 'codex-fleet-schedules|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-schedules --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-schedules-tenant 'field without an index' 'codex-fleet-schedules|tenant'
if ! shows 'codex-fleet-schedules|tenant' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update tenant --database=codex --collection-group=codex-fleet-schedules --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-schedules-dueAt 'field without an index' 'codex-fleet-schedules|dueAt'
if ! shows 'codex-fleet-schedules|dueAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update dueAt --database=codex --collection-group=codex-fleet-schedules --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-webhooks-body 'field without an index' 'codex-fleet-webhooks|body'
if ! shows 'codex-fleet-webhooks|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-webhooks --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-webhooks-meta 'field without an index' 'codex-fleet-webhooks|meta'
if ! shows 'codex-fleet-webhooks|meta' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update meta --database=codex --collection-group=codex-fleet-webhooks --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-webhooks-id 'field without an index' 'codex-fleet-webhooks|id'
if ! shows 'codex-fleet-webhooks|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-webhooks --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-webhooks-tenant 'field without an index' 'codex-fleet-webhooks|tenant'
if ! shows 'codex-fleet-webhooks|tenant' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update tenant --database=codex --collection-group=codex-fleet-webhooks --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-body 'field without an index' 'codex-fleet-deliveries|body'
if ! shows 'codex-fleet-deliveries|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-meta 'field without an index' 'codex-fleet-deliveries|meta'
if ! shows 'codex-fleet-deliveries|meta' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update meta --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-id 'field without an index' 'codex-fleet-deliveries|id'
if ! shows 'codex-fleet-deliveries|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-tenant 'field without an index' 'codex-fleet-deliveries|tenant'
if ! shows 'codex-fleet-deliveries|tenant' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update tenant --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-targetId 'field without an index' 'codex-fleet-deliveries|targetId'
if ! shows 'codex-fleet-deliveries|targetId' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update targetId --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-status 'field without an index' 'codex-fleet-deliveries|status'
if ! shows 'codex-fleet-deliveries|status' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update status --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-lane 'field without an index' 'codex-fleet-deliveries|lane'
if ! shows 'codex-fleet-deliveries|lane' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update lane --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-pendingLane 'field without an index' 'codex-fleet-deliveries|pendingLane'
if ! shows 'codex-fleet-deliveries|pendingLane' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update pendingLane --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-order 'field without an index' 'codex-fleet-deliveries|order'
if ! shows 'codex-fleet-deliveries|order' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update order --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-dueAt 'field without an index' 'codex-fleet-deliveries|dueAt'
if ! shows 'codex-fleet-deliveries|dueAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update dueAt --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-endedAt 'field without an index' 'codex-fleet-deliveries|endedAt'
if ! shows 'codex-fleet-deliveries|endedAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update endedAt --database=codex --collection-group=codex-fleet-deliveries --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-jobs-expireAt 'field without an index' 'codex-fleet-jobs|expireAt'
if ! shows 'codex-fleet-jobs|expireAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update expireAt --database=codex --collection-group=codex-fleet-jobs --disable-indexes "--project=$PROJECT"
fi

step ttl-codex-fleet-jobs-expireAt 'time to live' 'codex-fleet-jobs|expireAt'
if ! shows 'codex-fleet-jobs|expireAt' -- gcloud firestore fields ttls list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore fields ttls update expireAt --database=codex --collection-group=codex-fleet-jobs --enable-ttl --async "--project=$PROJECT"
fi

step field-codex-fleet-deliveries-expireAt 'field without an index' 'codex-fleet-deliveries|expireAt'
if ! shows 'codex-fleet-deliveries|expireAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update expireAt --database=codex --collection-group=codex-fleet-deliveries --disable-indexes "--project=$PROJECT"
fi

step ttl-codex-fleet-deliveries-expireAt 'time to live' 'codex-fleet-deliveries|expireAt'
if ! shows 'codex-fleet-deliveries|expireAt' -- gcloud firestore fields ttls list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore fields ttls update expireAt --database=codex --collection-group=codex-fleet-deliveries --enable-ttl --async "--project=$PROJECT"
fi

step field-codex-fleet-parts-expireAt 'field without an index' 'codex-fleet-parts|expireAt'
if ! shows 'codex-fleet-parts|expireAt' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update expireAt --database=codex --collection-group=codex-fleet-parts --disable-indexes "--project=$PROJECT"
fi

step ttl-codex-fleet-parts-expireAt 'time to live' 'codex-fleet-parts|expireAt'
if ! shows 'codex-fleet-parts|expireAt' -- gcloud firestore fields ttls list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore fields ttls update expireAt --database=codex --collection-group=codex-fleet-parts --enable-ttl --async "--project=$PROJECT"
fi

step field-codex-fleet-parts-body 'field without an index' 'codex-fleet-parts|body'
if ! shows 'codex-fleet-parts|body' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update body --database=codex --collection-group=codex-fleet-parts --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-aliases-id 'field without an index' 'codex-fleet-aliases|id'
if ! shows 'codex-fleet-aliases|id' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update id --database=codex --collection-group=codex-fleet-aliases --disable-indexes --async "--project=$PROJECT"
fi

step field-codex-fleet-aliases-alias 'field without an index' 'codex-fleet-aliases|alias'
if ! shows 'codex-fleet-aliases|alias' -- gcloud firestore indexes fields list --database=codex '--format=value[separator='\''|'\''](name.segment(-3),name.segment(-1))' "--project=$PROJECT"; then
  change gcloud firestore indexes fields update alias --database=codex --collection-group=codex-fleet-aliases --disable-indexes --async "--project=$PROJECT"
fi

step snapshots 'bucket of the snapshots' "$PROJECT-codex-snapshots"
if ! has gcloud storage buckets describe "gs://$PROJECT-codex-snapshots" "--project=$PROJECT"; then
  change gcloud storage buckets create "gs://$PROJECT-codex-snapshots" "--location=$REGION" --uniform-bucket-level-access --public-access-prevention "--soft-delete-duration=$SOFT_DELETE" "--lifecycle-file=$DEPLOY/storage/lifecycle.json" "--project=$PROJECT"
fi
if ((update)); then
  change gcloud storage buckets update "gs://$PROJECT-codex-snapshots" --uniform-bucket-level-access --public-access-prevention "--soft-delete-duration=$SOFT_DELETE" "--lifecycle-file=$DEPLOY/storage/lifecycle.json" "--project=$PROJECT"
fi

step jobs-topic 'Pub/Sub topic' codex-jobs
if ! has gcloud pubsub topics describe codex-jobs "--project=$PROJECT"; then
  change gcloud pubsub topics create codex-jobs --message-retention-duration=7d "--project=$PROJECT"
fi

step dead-topic 'Pub/Sub topic' codex-jobs-dead
if ! has gcloud pubsub topics describe codex-jobs-dead "--project=$PROJECT"; then
  change gcloud pubsub topics create codex-jobs-dead --message-retention-duration=7d "--project=$PROJECT"
fi

step events-topic 'Pub/Sub topic' codex-events
if ! has gcloud pubsub topics describe codex-events "--project=$PROJECT"; then
  change gcloud pubsub topics create codex-events --message-retention-duration=7d "--project=$PROJECT"
fi

step jobs 'Pub/Sub subscription' codex-jobs
if ! has gcloud pubsub subscriptions describe codex-jobs "--project=$PROJECT"; then
  change gcloud pubsub subscriptions create codex-jobs --topic=codex-jobs --enable-message-ordering --expiration-period=never --ack-deadline=60 --min-retry-delay=10s --max-retry-delay=600s --message-retention-duration=7d --dead-letter-topic=codex-jobs-dead --max-delivery-attempts=20 "--project=$PROJECT"
fi
if ((update)); then
  change gcloud pubsub subscriptions update codex-jobs --ack-deadline=60 --min-retry-delay=10s --max-retry-delay=600s --message-retention-duration=7d --dead-letter-topic=codex-jobs-dead --max-delivery-attempts=20 "--project=$PROJECT"
fi

step dead-jobs 'Pub/Sub subscription' codex-jobs-dead
if ! has gcloud pubsub subscriptions describe codex-jobs-dead "--project=$PROJECT"; then
  change gcloud pubsub subscriptions create codex-jobs-dead --topic=codex-jobs-dead --message-retention-duration=7d --expiration-period=never "--project=$PROJECT"
fi

step pubsub-agent 'Pub/Sub'\''s own service account' "serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
if ! shows "roles/pubsub.publisher|serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com|" -- gcloud pubsub topics get-iam-policy codex-jobs-dead '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud beta services identity create --service=pubsub.googleapis.com "--project=$PROJECT"
fi

step pubsub-gives-up 'IAM binding' roles/pubsub.publisher
if ! shows "roles/pubsub.publisher|serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com|" -- gcloud pubsub topics get-iam-policy codex-jobs-dead '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud pubsub topics add-iam-policy-binding codex-jobs-dead "--member=serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.publisher --format=none "--project=$PROJECT"
fi

step pubsub-takes-back 'IAM binding' roles/pubsub.subscriber
if ! shows "roles/pubsub.subscriber|serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com|" -- gcloud pubsub subscriptions get-iam-policy codex-jobs '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud pubsub subscriptions add-iam-policy-binding codex-jobs "--member=serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.subscriber --format=none "--project=$PROJECT"
fi

step namespace 'namespace of the cluster' codex
if ! has kubectl get namespace codex; then
  change kubectl create namespace codex --dry-run=client --output=yaml '|' kubectl apply --filename=-
fi

step cluster-secret-here 'secret of the cluster' codex-cluster
if ! same gcloud secrets versions access latest --secret=codex-cluster-secret "--project=$PROJECT" '|' kubectl create secret generic codex-cluster --from-file=cluster-secret=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl diff --filename=-; then
  change gcloud secrets versions access latest --secret=codex-cluster-secret "--project=$PROJECT" '|' kubectl create secret generic codex-cluster --from-file=cluster-secret=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl apply --filename=-
fi

step tokens-here 'secret of the cluster' codex-tokens
if ! same gcloud secrets versions access latest --secret=codex-tokens "--project=$PROJECT" '|' kubectl create secret generic codex-tokens --from-file=fleet.toml=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl diff --filename=-; then
  change gcloud secrets versions access latest --secret=codex-tokens "--project=$PROJECT" '|' kubectl create secret generic codex-tokens --from-file=fleet.toml=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl apply --filename=-
fi

step metrics-token-here 'secret of the cluster' codex-metrics
if ! same gcloud secrets versions access latest --secret=codex-metrics-token "--project=$PROJECT" '|' kubectl create secret generic codex-metrics --from-file=token=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl diff --filename=-; then
  change gcloud secrets versions access latest --secret=codex-metrics-token "--project=$PROJECT" '|' kubectl create secret generic codex-metrics --from-file=token=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl apply --filename=-
fi

if [[ $PROFILE == dev ]]; then
  step redis-dev-here 'secret of the cluster' codex-redis
  if ! same gcloud secrets versions access latest --secret=codex-redis-url "--project=$PROJECT" '|' kubectl create secret generic codex-redis --from-file=url=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl diff --filename=-; then
    change gcloud secrets versions access latest --secret=codex-redis-url "--project=$PROJECT" '|' kubectl create secret generic codex-redis --from-file=url=/dev/stdin --namespace=codex --dry-run=client --output=yaml '|' kubectl apply --filename=-
  fi
fi

if [[ $PROFILE == prod ]]; then
  step redis-authority 'authority of the certificate of Valkey' "$WORK/ca.pem"
  save "$WORK/ca.pem" gcloud memorystore instances get-certificate-authority codex "--location=$REGION" '--flatten=managedServerCa.caCerts[].certificates[]' '--format=value(managedServerCa.caCerts.certificates)' "--project=$PROJECT"
fi

if [[ $PROFILE == prod ]]; then
  step redis-here 'secret of the cluster' codex-redis
  if ! same kubectl create secret generic codex-redis "--from-literal=url=rediss://$REDIS_HOST:6379" "--from-file=ca.pem=$WORK/ca.pem" --namespace=codex --dry-run=client --output=yaml '|' kubectl diff --filename=-; then
    change kubectl create secret generic codex-redis "--from-literal=url=rediss://$REDIS_HOST:6379" "--from-file=ca.pem=$WORK/ca.pem" --namespace=codex --dry-run=client --output=yaml '|' kubectl apply --filename=-
  fi
fi

step gateway-uses-records 'IAM binding' roles/datastore.user
if ! shows "roles/datastore.user|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway|one-database" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)'; then
  change gcloud projects add-iam-policy-binding "$PROJECT" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway" --role=roles/datastore.user "--condition=expression=resource.name==\"projects/$PROJECT/databases/codex\",title=one-database" --format=none
fi

step manager-uses-records 'IAM binding' roles/datastore.user
if ! shows "roles/datastore.user|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|one-database" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)'; then
  change gcloud projects add-iam-policy-binding "$PROJECT" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/datastore.user "--condition=expression=resource.name==\"projects/$PROJECT/databases/codex\",title=one-database" --format=none
fi

step gateway-uses-snapshots 'IAM binding' roles/storage.objectUser
if ! shows "roles/storage.objectUser|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway|" -- gcloud storage buckets get-iam-policy "gs://$PROJECT-codex-snapshots" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud storage buckets add-iam-policy-binding "gs://$PROJECT-codex-snapshots" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway" --role=roles/storage.objectUser --format=none "--project=$PROJECT"
fi

step manager-uses-snapshots 'IAM binding' roles/storage.objectUser
if ! shows "roles/storage.objectUser|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud storage buckets get-iam-policy "gs://$PROJECT-codex-snapshots" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud storage buckets add-iam-policy-binding "gs://$PROJECT-codex-snapshots" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/storage.objectUser --format=none "--project=$PROJECT"
fi

step manager-reads-jobs 'IAM binding' roles/pubsub.subscriber
if ! shows "roles/pubsub.subscriber|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub subscriptions get-iam-policy codex-jobs '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud pubsub subscriptions add-iam-policy-binding codex-jobs "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.subscriber --format=none "--project=$PROJECT"
fi

step manager-sees-jobs 'IAM binding' roles/pubsub.viewer
if ! shows "roles/pubsub.viewer|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub subscriptions get-iam-policy codex-jobs '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud pubsub subscriptions add-iam-policy-binding codex-jobs "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.viewer --format=none "--project=$PROJECT"
fi

step manager-gives-up-jobs 'IAM binding' roles/pubsub.publisher
if ! shows "roles/pubsub.publisher|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub topics get-iam-policy codex-jobs-dead '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud pubsub topics add-iam-policy-binding codex-jobs-dead "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.publisher --format=none "--project=$PROJECT"
fi

step manager-tells-events 'IAM binding' roles/pubsub.publisher
if ! shows "roles/pubsub.publisher|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub topics get-iam-policy codex-events '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud pubsub topics add-iam-policy-binding codex-events "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.publisher --format=none "--project=$PROJECT"
fi

step proxy-reads-model-key 'IAM binding' roles/secretmanager.secretAccessor
if ! shows "roles/secretmanager.secretAccessor|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-model-proxy|" -- gcloud secrets get-iam-policy codex-model-key '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT"; then
  change gcloud secrets add-iam-policy-binding codex-model-key "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-model-proxy" --role=roles/secretmanager.secretAccessor --format=none "--project=$PROJECT"
fi

# ── The settings of the overlay, and what comes next ─────────────────────────────────────────────────────────────

overlay="$DEPLOY/overlays/gke-$PROFILE/settings/settings.env"

settings() {
  cat <<SETTINGS
PROJECT=$PROJECT
REGION=$REGION
HOST=$DOMAIN
BUCKET=$PROJECT-codex-snapshots
REDIS_RANGE=10.40.0.0/29
SETTINGS
}

step_name=settings
if ((dry_run)); then
  printf '\n# settings: these lines of %s\n' "$overlay"
  settings | sed 's/^/#   /'
else
  # Readable for all, as a file of a repository is: those of this script are not.
  (umask 022 && settings | "$DEPLOY/bootstrap/set-settings.sh" "$overlay") ||
    stop "$overlay could not be written"
  say "settings: they are in $overlay"
fi

if ! ((dry_run)); then
  say ''
  if ((steps_made)); then say "$steps_made commands changed something."; else say 'Everything was there: nothing was changed.'; fi
fi
if [[ -z $DNS_ZONE ]]; then
  cat <<DNS

# These records make the domain yours, where its DNS is kept:
#   $DOMAIN.  A  $ADDRESS
#   $AUTHORIZATION_NAME  CNAME  $AUTHORIZATION_DATA
DNS
fi
if [[ $PROFILE == prod && $CLUSTER_VERSION =~ ^1\.([0-9]+)\. ]] && ((BASH_REMATCH[1] < 37)); then
  cat <<OLDER

# The cluster is GKE $CLUSTER_VERSION, and the overlay's autoscaler needs 1.37: before the fleet is applied, take the line
# ../../components/autoscaling out of deploy/overlays/gke-prod/kustomization.yaml (deploy/README.md says what then scales).
OLDER
fi
cat <<NEXT

# Next, from the root of the repository: the images, then the fleet.
gcloud builds submit --config=deploy/cloudbuild.yaml --region=$REGION --project=$PROJECT --service-account=projects/$PROJECT/serviceAccounts/codex-build@$PROJECT.iam.gserviceaccount.com --gcs-source-staging-dir=gs://$PROJECT-codex-build/source --substitutions=_REGION=$REGION
gcloud storage cat gs://$PROJECT-codex-build/digests/latest.env --project=$PROJECT | deploy/bootstrap/set-settings.sh deploy/overlays/gke-$PROFILE/settings/settings.env
gcloud container clusters get-credentials codex --location=$REGION --project=$PROJECT --dns-endpoint
kubectl apply --kustomize=deploy/overlays/gke-$PROFILE
kubectl rollout status deployment/codex-gateway --namespace=codex --timeout=15m
# The certificate is ready some minutes after its record can be seen:
gcloud certificate-manager certificates describe codex-cert --project=$PROJECT '--format=value(managed.state)'
# The token of the first caller:
gcloud secrets versions access latest --secret=codex-tokens --project=$PROJECT
NEXT
