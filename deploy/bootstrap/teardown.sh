#!/usr/bin/env bash
# Removes what bootstrap.sh made: see --help and deploy/bootstrap/README.md.
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

delete_data=0 is_sure=0
# shellcheck disable=SC2034 # read by stop
how_to_go_on='What was removed is gone. Once the cause is gone, run the same command again: it goes on with what is left.'

help() {
  cat <<'HELP'
Removes what bootstrap.sh made, the last first. The data stay: the records, the snapshots and the secrets.

  teardown.sh --project PROJECT --region REGION [options]

  --project PROJECT    the project
  --region REGION      where everything is
  --profile dev|prod   as it was made (prod)
  --domain HOST, --dns-zone ZONE
                       both, if the script wrote the records of the domain
  --delete-data        the data too; nothing brings them back
  --yes                does not ask for the name of the project
  --dry-run            prints each command instead of running it; needs neither credentials nor a network
HELP
}

value_of() { # OPTION WORDS-LEFT NEXT-WORD
  if (($2 < 2)) || [[ $3 == --* ]]; then usage_error "$1 wants a value"; fi
}

while (($#)); do
  option=$1
  case $option in
    --*=*) set -- "${option%%=*}" "${option#*=}" "${@:2}" ;;
    --project | --region | --domain | --profile | --dns-zone)
      value_of "$option" $# "${2:-}"
      case $option in
        --project) PROJECT=$2 ;;
        --region) REGION=$2 ;;
        --domain) DOMAIN=$2 ;;
        --profile) PROFILE=$2 ;;
        --dns-zone) DNS_ZONE=$2 ;;
      esac
      shift 2
      ;;
    --delete-data) delete_data=1 && shift ;;
    --yes) is_sure=1 && shift ;;
    --dry-run) dry_run=1 && shift ;;
    --help | -h) help && exit 0 ;;
    *) usage_error "there is no option $option" ;;
  esac
done

check_place
if [[ -n $DNS_ZONE || -n $DOMAIN ]]; then
  [[ -n $DNS_ZONE ]] || usage_error '--domain is for --dns-zone: give both, or neither'
  check_domain
fi
need_tools gcloud kubectl gke-gcloud-auth-plugin
open_work

kept=()
keeps_data() { # WHAT ID
  ((delete_data)) && return 1
  kept+=("$2 ($1)")
  if ((dry_run)); then say "# stays: $1"; else say '  stays'; fi
}

if ! ((dry_run || is_sure)); then
  say "This removes the fleet of the project $PROJECT in $REGION$( ((delete_data)) && echo ', with all its data')."
  read -r -p 'Type the name of the project to go on: ' typed || typed=''
  if [[ $typed != "$PROJECT" ]]; then
    say 'Nothing was removed.'
    exit 1
  fi
fi

# ── The resources ──────────────────────────────────────────────────────────────────────────────────────────────────
step project project "$PROJECT"
read_into PROJECT_NUMBER gcloud projects describe "$PROJECT" '--format=value(projectNumber)'

step dns-authorization 'DNS authorization' codex-dns
if has gcloud certificate-manager dns-authorizations describe codex-dns "--project=$PROJECT" || ((dry_run)); then
  read_into AUTHORIZATION_NAME gcloud certificate-manager dns-authorizations describe codex-dns '--format=value(dnsResourceRecord.name)' "--project=$PROJECT"
  read_into AUTHORIZATION_DATA gcloud certificate-manager dns-authorizations describe codex-dns '--format=value(dnsResourceRecord.data)' "--project=$PROJECT"
fi

has_cluster=0
step credentials 'the script'\''s own way into the cluster' "$KUBECONFIG"
if has gcloud container clusters describe codex "--location=$REGION" "--project=$PROJECT" || ((dry_run)); then
  has_cluster=1
  always gcloud container clusters get-credentials codex "--location=$REGION" --dns-endpoint "--project=$PROJECT"
fi

step proxy-reads-model-key 'IAM binding' roles/secretmanager.secretAccessor
if shows "roles/secretmanager.secretAccessor|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-model-proxy|" -- gcloud secrets get-iam-policy codex-model-key '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud secrets remove-iam-policy-binding codex-model-key "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-model-proxy" --role=roles/secretmanager.secretAccessor --format=none "--project=$PROJECT"
fi

step manager-tells-events 'IAM binding' roles/pubsub.publisher
if shows "roles/pubsub.publisher|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub topics get-iam-policy codex-events '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub topics remove-iam-policy-binding codex-events "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.publisher --format=none "--project=$PROJECT"
fi

step manager-gives-up-jobs 'IAM binding' roles/pubsub.publisher
if shows "roles/pubsub.publisher|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub topics get-iam-policy codex-jobs-dead '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub topics remove-iam-policy-binding codex-jobs-dead "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.publisher --format=none "--project=$PROJECT"
fi

step manager-sees-jobs 'IAM binding' roles/pubsub.viewer
if shows "roles/pubsub.viewer|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub subscriptions get-iam-policy codex-jobs '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub subscriptions remove-iam-policy-binding codex-jobs "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.viewer --format=none "--project=$PROJECT"
fi

step manager-reads-jobs 'IAM binding' roles/pubsub.subscriber
if shows "roles/pubsub.subscriber|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud pubsub subscriptions get-iam-policy codex-jobs '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub subscriptions remove-iam-policy-binding codex-jobs "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/pubsub.subscriber --format=none "--project=$PROJECT"
fi

step manager-uses-snapshots 'IAM binding' roles/storage.objectUser
if shows "roles/storage.objectUser|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|" -- gcloud storage buckets get-iam-policy "gs://$PROJECT-codex-snapshots" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud storage buckets remove-iam-policy-binding "gs://$PROJECT-codex-snapshots" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/storage.objectUser --format=none "--project=$PROJECT"
fi

step gateway-uses-snapshots 'IAM binding' roles/storage.objectUser
if shows "roles/storage.objectUser|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway|" -- gcloud storage buckets get-iam-policy "gs://$PROJECT-codex-snapshots" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud storage buckets remove-iam-policy-binding "gs://$PROJECT-codex-snapshots" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway" --role=roles/storage.objectUser --format=none "--project=$PROJECT"
fi

step manager-uses-records 'IAM binding' roles/datastore.user
if shows "roles/datastore.user|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager|one-database" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' || ((dry_run)); then
  change gcloud projects remove-iam-policy-binding "$PROJECT" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-session-manager" --role=roles/datastore.user "--condition=expression=resource.name==\"projects/$PROJECT/databases/codex\",title=one-database" --format=none
fi

step gateway-uses-records 'IAM binding' roles/datastore.user
if shows "roles/datastore.user|principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway|one-database" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' || ((dry_run)); then
  change gcloud projects remove-iam-policy-binding "$PROJECT" "--member=principal://iam.googleapis.com/projects/$PROJECT_NUMBER/locations/global/workloadIdentityPools/$PROJECT.svc.id.goog/subject/ns/codex/sa/codex-gateway" --role=roles/datastore.user "--condition=expression=resource.name==\"projects/$PROJECT/databases/codex\",title=one-database" --format=none
fi

step namespace 'namespace of the cluster' codex
if ((has_cluster)); then
  if has kubectl get namespace codex || ((dry_run)); then
    change kubectl delete gateways.gateway.networking.k8s.io --all --namespace=codex --ignore-not-found --timeout=15m
    change kubectl delete namespace codex --timeout=15m
  fi
fi

step pubsub-takes-back 'IAM binding' roles/pubsub.subscriber
if shows "roles/pubsub.subscriber|serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com|" -- gcloud pubsub subscriptions get-iam-policy codex-jobs '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub subscriptions remove-iam-policy-binding codex-jobs "--member=serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.subscriber --format=none "--project=$PROJECT"
fi

step pubsub-gives-up 'IAM binding' roles/pubsub.publisher
if shows "roles/pubsub.publisher|serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com|" -- gcloud pubsub topics get-iam-policy codex-jobs-dead '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub topics remove-iam-policy-binding codex-jobs-dead "--member=serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.publisher --format=none "--project=$PROJECT"
fi

step dead-jobs 'Pub/Sub subscription' codex-jobs-dead
if has gcloud pubsub subscriptions describe codex-jobs-dead "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub subscriptions delete codex-jobs-dead "--project=$PROJECT"
fi

step jobs 'Pub/Sub subscription' codex-jobs
if has gcloud pubsub subscriptions describe codex-jobs "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub subscriptions delete codex-jobs "--project=$PROJECT"
fi

step events-topic 'Pub/Sub topic' codex-events
if has gcloud pubsub topics describe codex-events "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub topics delete codex-events "--project=$PROJECT"
fi

step dead-topic 'Pub/Sub topic' codex-jobs-dead
if has gcloud pubsub topics describe codex-jobs-dead "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub topics delete codex-jobs-dead "--project=$PROJECT"
fi

step jobs-topic 'Pub/Sub topic' codex-jobs
if has gcloud pubsub topics describe codex-jobs "--project=$PROJECT" || ((dry_run)); then
  change gcloud pubsub topics delete codex-jobs "--project=$PROJECT"
fi

step snapshots 'bucket of the snapshots' "$PROJECT-codex-snapshots"
if ! keeps_data 'workspaces and conversations: the snapshots' "$PROJECT-codex-snapshots"; then
  if has gcloud storage buckets describe "gs://$PROJECT-codex-snapshots" "--project=$PROJECT" || ((dry_run)); then
    change gcloud storage rm --recursive "gs://$PROJECT-codex-snapshots" "--project=$PROJECT"
  fi
fi

step records 'Firestore database' codex
if ! keeps_data 'sessions, turns, jobs: the records' codex; then
  if has gcloud firestore databases describe --database=codex "--project=$PROJECT" || ((dry_run)); then
    change gcloud firestore databases update --database=codex --no-delete-protection "--project=$PROJECT"
    change gcloud firestore databases delete --database=codex "--project=$PROJECT"
  fi
fi

step cluster 'GKE Autopilot cluster' codex
if has gcloud container clusters describe codex "--location=$REGION" "--project=$PROJECT" || ((dry_run)); then
  change gcloud container clusters delete codex "--location=$REGION" "--project=$PROJECT"
fi

if [[ $PROFILE == prod ]]; then
  step redis 'Memorystore for Valkey' codex
  if has gcloud memorystore instances describe codex "--location=$REGION" "--project=$PROJECT" || ((dry_run)); then
    change gcloud memorystore instances update codex "--location=$REGION" --no-deletion-protection-enabled "--project=$PROJECT"
    change gcloud memorystore instances delete codex "--location=$REGION" "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step redis-connections 'service connection policy' codex-redis
  if has gcloud network-connectivity service-connection-policies describe codex-redis "--region=$REGION" "--project=$PROJECT" || ((dry_run)); then
    change gcloud network-connectivity service-connection-policies delete codex-redis "--region=$REGION" "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step redis-subnet 'subnetwork of the endpoints of Valkey' codex-redis
  if has gcloud compute networks subnets describe codex-redis "--region=$REGION" "--project=$PROJECT" || ((dry_run)); then
    change gcloud compute networks subnets delete codex-redis "--region=$REGION" "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == prod ]]; then
  step armor 'Cloud Armor policy' codex-armor
  if has gcloud compute security-policies describe codex-armor "--project=$PROJECT" || ((dry_run)); then
    change gcloud compute security-policies delete codex-armor --global "--project=$PROJECT"
  fi
fi

step tls-policy 'SSL policy' codex-tls
if has gcloud compute ssl-policies describe codex-tls "--project=$PROJECT" || ((dry_run)); then
  change gcloud compute ssl-policies delete codex-tls --global "--project=$PROJECT"
fi

step certificate-entry 'entry of the certificate map' codex
if has gcloud certificate-manager maps entries describe codex --map=codex-certmap "--project=$PROJECT" || ((dry_run)); then
  change gcloud certificate-manager maps entries delete codex --map=codex-certmap "--project=$PROJECT"
fi

step certificate-map 'certificate map' codex-certmap
if has gcloud certificate-manager maps describe codex-certmap "--project=$PROJECT" || ((dry_run)); then
  change gcloud certificate-manager maps delete codex-certmap "--project=$PROJECT"
fi

step certificate certificate codex-cert
if has gcloud certificate-manager certificates describe codex-cert "--project=$PROJECT" || ((dry_run)); then
  change gcloud certificate-manager certificates delete codex-cert "--project=$PROJECT"
fi

if [[ -n $DNS_ZONE ]]; then
  step authorization-record 'CNAME record in Cloud DNS' "$AUTHORIZATION_NAME"
  if has gcloud dns record-sets describe "$AUTHORIZATION_NAME" --type=CNAME "--zone=$DNS_ZONE" "--project=$PROJECT" || ((dry_run)); then
    change gcloud dns record-sets delete "$AUTHORIZATION_NAME" --type=CNAME "--zone=$DNS_ZONE" "--project=$PROJECT"
  fi
fi

if [[ -n $DNS_ZONE ]]; then
  step address-record 'A record in Cloud DNS' "$DOMAIN."
  if has gcloud dns record-sets describe "$DOMAIN." --type=A "--zone=$DNS_ZONE" "--project=$PROJECT" || ((dry_run)); then
    change gcloud dns record-sets delete "$DOMAIN." --type=A "--zone=$DNS_ZONE" "--project=$PROJECT"
  fi
fi

step dns-authorization 'DNS authorization' codex-dns
if has gcloud certificate-manager dns-authorizations describe codex-dns "--project=$PROJECT" || ((dry_run)); then
  change gcloud certificate-manager dns-authorizations delete codex-dns "--project=$PROJECT"
fi

step address 'static address of the load balancer' codex-ip
if has gcloud compute addresses describe codex-ip --global "--project=$PROJECT" || ((dry_run)); then
  change gcloud compute addresses delete codex-ip --global "--project=$PROJECT"
fi

step model-key 'the key of the model' codex-model-key
if ! keeps_data 'the key of the model' codex-model-key; then
  if has gcloud secrets describe codex-model-key "--project=$PROJECT" || ((dry_run)); then
    change gcloud secrets delete codex-model-key "--project=$PROJECT"
  fi
fi

if [[ $PROFILE == dev ]]; then
  step redis-url 'the address of the Valkey in the cluster, with its password' codex-redis-url
  if ! keeps_data 'the address of the Valkey in the cluster, with its password' codex-redis-url; then
    if has gcloud secrets describe codex-redis-url "--project=$PROJECT" || ((dry_run)); then
      change gcloud secrets delete codex-redis-url "--project=$PROJECT"
    fi
  fi
fi

step metrics-token 'what collectors of metrics show' codex-metrics-token
if ! keeps_data 'what collectors of metrics show' codex-metrics-token; then
  if has gcloud secrets describe codex-metrics-token "--project=$PROJECT" || ((dry_run)); then
    change gcloud secrets delete codex-metrics-token "--project=$PROJECT"
  fi
fi

step tokens 'the tokens of callers' codex-tokens
if ! keeps_data 'the tokens of callers' codex-tokens; then
  if has gcloud secrets describe codex-tokens "--project=$PROJECT" || ((dry_run)); then
    change gcloud secrets delete codex-tokens "--project=$PROJECT"
  fi
fi

step cluster-secret 'what the roles know one another by' codex-cluster-secret
if ! keeps_data 'what the roles know one another by' codex-cluster-secret; then
  if has gcloud secrets describe codex-cluster-secret "--project=$PROJECT" || ((dry_run)); then
    change gcloud secrets delete codex-cluster-secret "--project=$PROJECT"
  fi
fi

step nodes-report 'IAM binding' roles/container.defaultNodeServiceAccount
if shows "roles/container.defaultNodeServiceAccount|serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com|" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' || ((dry_run)); then
  change gcloud projects remove-iam-policy-binding "$PROJECT" "--member=serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com" --role=roles/container.defaultNodeServiceAccount --condition=None --format=none
fi

step nodes-read-images 'IAM binding' roles/artifactregistry.reader
if shows "roles/artifactregistry.reader|serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com|" -- gcloud artifacts repositories get-iam-policy codex "--location=$REGION" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud artifacts repositories remove-iam-policy-binding codex "--location=$REGION" "--member=serviceAccount:codex-nodes@$PROJECT.iam.gserviceaccount.com" --role=roles/artifactregistry.reader --format=none "--project=$PROJECT"
fi

step build-writes-logs 'IAM binding' roles/logging.logWriter
if shows "roles/logging.logWriter|serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com|" -- gcloud projects get-iam-policy "$PROJECT" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' || ((dry_run)); then
  change gcloud projects remove-iam-policy-binding "$PROJECT" "--member=serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com" --role=roles/logging.logWriter --condition=None --format=none
fi

step build-reads-sources 'IAM binding' roles/storage.objectUser
if shows "roles/storage.objectUser|serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com|" -- gcloud storage buckets get-iam-policy "gs://$PROJECT-codex-build" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud storage buckets remove-iam-policy-binding "gs://$PROJECT-codex-build" "--member=serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com" --role=roles/storage.objectUser --format=none "--project=$PROJECT"
fi

step build-writes-images 'IAM binding' roles/artifactregistry.writer
if shows "roles/artifactregistry.writer|serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com|" -- gcloud artifacts repositories get-iam-policy codex "--location=$REGION" '--flatten=bindings[].members[]' '--format=value[separator='\''|'\''](bindings.role,bindings.members,bindings.condition.title)' "--project=$PROJECT" || ((dry_run)); then
  change gcloud artifacts repositories remove-iam-policy-binding codex "--location=$REGION" "--member=serviceAccount:codex-build@$PROJECT.iam.gserviceaccount.com" --role=roles/artifactregistry.writer --format=none "--project=$PROJECT"
fi

step build-sources 'bucket of what is sent to Cloud Build' "$PROJECT-codex-build"
if has gcloud storage buckets describe "gs://$PROJECT-codex-build" "--project=$PROJECT" || ((dry_run)); then
  change gcloud storage rm --recursive "gs://$PROJECT-codex-build" "--project=$PROJECT"
fi

step images 'Artifact Registry repository' codex
if has gcloud artifacts repositories describe codex "--location=$REGION" "--project=$PROJECT" || ((dry_run)); then
  change gcloud artifacts repositories delete codex "--location=$REGION" "--project=$PROJECT"
fi

step build-account 'service account of the image builds' "codex-build@$PROJECT.iam.gserviceaccount.com"
if has gcloud iam service-accounts describe "codex-build@$PROJECT.iam.gserviceaccount.com" "--project=$PROJECT" || ((dry_run)); then
  change gcloud iam service-accounts delete "codex-build@$PROJECT.iam.gserviceaccount.com" "--project=$PROJECT"
fi

step nodes-account 'service account of the nodes' "codex-nodes@$PROJECT.iam.gserviceaccount.com"
if has gcloud iam service-accounts describe "codex-nodes@$PROJECT.iam.gserviceaccount.com" "--project=$PROJECT" || ((dry_run)); then
  change gcloud iam service-accounts delete "codex-nodes@$PROJECT.iam.gserviceaccount.com" "--project=$PROJECT"
fi

step nat 'Cloud NAT' codex
if has gcloud compute routers nats describe codex --router=codex "--region=$REGION" "--project=$PROJECT" || ((dry_run)); then
  change gcloud compute routers nats delete codex --router=codex "--region=$REGION" "--project=$PROJECT"
fi

step router 'Cloud Router' codex
if has gcloud compute routers describe codex "--region=$REGION" "--project=$PROJECT" || ((dry_run)); then
  change gcloud compute routers delete codex "--region=$REGION" "--project=$PROJECT"
fi

step subnet 'subnetwork with ranges for pods and services' codex
if has gcloud compute networks subnets describe codex "--region=$REGION" "--project=$PROJECT" || ((dry_run)); then
  change gcloud compute networks subnets delete codex "--region=$REGION" "--project=$PROJECT"
fi

step network 'VPC network' codex
if has gcloud compute networks describe codex "--project=$PROJECT" || ((dry_run)); then
  change gcloud compute networks delete codex "--project=$PROJECT"
fi

if ((${#kept[@]})); then
  say ''
  say 'These stay, and cost what they hold. --delete-data removes them:'
  printf '  %s\n' "${kept[@]}"
fi
if ! ((dry_run)); then
  say ''
  if ((steps_made)); then say "$steps_made commands removed something."; else say 'There was nothing to remove.'; fi
fi
