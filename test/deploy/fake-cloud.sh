#!/usr/bin/env bash
# Stands in for gcloud and kubectl in tests of the bootstrap script: writes down what it is called with, keeps what
# was made in files below $FAKE_STATE, and refuses what Google would refuse: a part of something that is not there.
set -euo pipefail
tool=$(basename -- "$0")
state=$FAKE_STATE
printf '%s %s\n' "$tool" "$*" >>"$state/calls"

refuse() {
  printf 'ERROR: (%s) %s\n' "$tool" "$1" >&2
  exit 1
}
if [[ -s $state/fail && "$tool $*" =~ $(<"$state/fail") ]]; then refuse 'planted failure'; fi
if [[ -s $state/flaky && "$tool $*" =~ $(<"$state/flaky") ]]; then
  rm "$state/flaky"
  refuse 'There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.'
fi

declare -A flag=()
words=()
fields=()
for word in "$@"; do
  case $word in
    --field-config=*) fields+=("${word#*=}") ;;
    --*=*) flag[${word%%=*}]=${word#*=} ;;
    --*) flag[$word]=yes ;;
    *) words+=("$word") ;;
  esac
done
line="${words[*]}"

key_of() { printf '%s/%s' "$state" "$(tr '/ ' '_+' <<<"$1")"; }
is_there() { [[ -e $(key_of "$1") ]]; }
needs() { # FLAG THING
  [[ -z ${flag[$1]:-} ]] || is_there "$2 ${flag[$1]}" || refuse "$1: $2 ${flag[$1]} is not there to be used"
}

if [[ $tool == kubectl ]]; then
  is_there 'container clusters codex' || refuse 'no such host'
  [[ -f $KUBECONFIG ]] || refuse 'no configuration'
  case $line in
    'get namespace '*) is_there "$line" || refuse "namespaces \"${words[2]}\" not found" ;;
    'create namespace '*) printf 'get namespace %s\n' "${words[2]}" ;;
    'create secret generic '*)
      printf 'secret %s\n' "${words[3]}"
      [[ -z ${flag[--from-literal]:-} ]] || printf '%s\n' "${flag[--from-literal]}"
      [[ -z ${flag[--from-file]:-} ]] || printf '%s %s\n' "${flag[--from-file]%%=*}" "$(md5sum <"${flag[--from-file]#*=}")"
      ;;
    apply)
      object=$(cat)
      printf '%s\n' "$object" >"$(key_of "$(head -n 1 <<<"$object")")"
      ;;
    diff)
      object=$(cat)
      is_there "$(head -n 1 <<<"$object")" || exit 1
      cmp -s <(printf '%s\n' "$object") "$(key_of "$(head -n 1 <<<"$object")")" || exit 1
      ;;
    'delete namespace '*) rm -f "$(key_of "get namespace ${words[2]}")" "$state"/secret+* ;;
    'delete gateways.gateway.networking.k8s.io') ;;
    *) refuse "the fake does not know: $line" ;;
  esac
  exit 0
fi

group='' verb='' name=''
for word in "${words[@]}"; do
  if [[ -n $verb ]]; then
    name+="${name:+ }$word"
  else
    case $word in
      create | create-auto | describe | delete | update | add-iam-policy-binding | get-iam-policy | \
        remove-iam-policy-binding | list | add | access | enable | rm | get-credentials | get-certificate-authority)
        verb=$word
        ;;
      *) group+="${group:+ }$word" ;;
    esac
  fi
done
[[ $group != 'firestore databases' ]] || name=${flag[--database]}
[[ $group != 'iam service-accounts' ]] || name=${name%@*}
[[ $group != 'dns record-sets' ]] || name+=" ${flag[--type]}"
thing="$group $name"

if [[ $group == firestore* && $thing != 'firestore databases '* ]]; then needs --database 'firestore databases'; fi
if [[ $verb != describe && $verb != delete ]]; then
  needs --network 'compute networks'
  needs --subnetwork 'compute networks subnets'
  needs --router 'compute routers'
  needs --topic 'pubsub topics'
  needs --dead-letter-topic 'pubsub topics'
  needs --security-policy 'compute security-policies'
  needs --dns-authorizations 'certificate-manager dns-authorizations'
  needs --certificates 'certificate-manager certificates'
  needs --map 'certificate-manager maps'
  [[ -z ${flag[--lifecycle-file]:-} || -f ${flag[--lifecycle-file]} ]] || refuse 'no lifecycle file'
fi

case "$group $verb" in
  'services list') [[ ! -f $state/services ]] || cat "$state/services" ;;
  'services enable') tr ' ' '\n' <<<"$name" >>"$state/services" ;;
  'beta services identity create') touch "$state/identity" ;;
  'projects describe') echo 123456789 ;;
  'secrets versions list') if [[ -f $state/value-$name ]]; then echo 1; fi ;;
  'secrets versions add')
    is_there "secrets $name" || refuse "secret $name is not there"
    value=$(cat && printf .)
    [[ $value != . ]] || refuse 'the payload is empty'
    printf '%s' "${value%.}" >"$state/value-$name"
    ;;
  'secrets versions access') cat "$state/value-${flag[--secret]}" ;;
  'firestore indexes composite list') cat "$state/composite" 2>/dev/null || true ;;
  'firestore indexes composite create')
    paths='' orders='' last=''
    for field in "${fields[@]}"; do
      path=${field#field-path=}
      last=${field##*order=}
      paths+="${path%%,*}," orders+="${last^^},"
    done
    scope=${flag[--query-scope]^^}
    printf '%s|%s|%s__name__|%s%s\n' "${flag[--collection-group]}" "${scope//-/_}" "$paths" "$orders" "${last^^}" >>"$state/composite"
    ;;
  'firestore backups schedules list') cat "$state/backups" 2>/dev/null || true ;;
  'firestore backups schedules create') echo "schedule of ${flag[--database]}" >>"$state/backups" ;;
  'firestore indexes fields list') cat "$state/fields" 2>/dev/null || true ;;
  'firestore indexes fields update') echo "${flag[--collection-group]}|$name" >>"$state/fields" ;;
  'firestore fields ttls list') cat "$state/ttls" 2>/dev/null || true ;;
  'firestore fields ttls update') echo "${flag[--collection-group]}|$name" >>"$state/ttls" ;;
  *' get-iam-policy') cat "$(key_of "iam $thing")" 2>/dev/null || true ;;
  *' add-iam-policy-binding')
    title=''
    [[ ${flag[--condition]:-None} == None ]] || title=${flag[--condition]##*title=}
    [[ $group == projects ]] || is_there "$thing" || refuse "$thing is not there"
    [[ ${flag[--member]} != principal://* ]] || is_there 'container clusters codex' || refuse 'the pool is not there'
    echo "${flag[--role]}|${flag[--member]}|$title" >>"$(key_of "iam $thing")"
    ;;
  *' remove-iam-policy-binding')
    grep -vF "${flag[--role]}|${flag[--member]}|" "$(key_of "iam $thing")" >"$state/rest" || true
    mv "$state/rest" "$(key_of "iam $thing")"
    ;;
  'container clusters get-credentials') touch "$KUBECONFIG" ;;
  'memorystore instances get-certificate-authority') printf -- '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' ;;
  'storage rm') rm "$(key_of "storage buckets $name")" ;;
  *' describe')
    is_there "$thing" || refuse "NOT_FOUND: $thing was not found"
    case ${flag[--format]:-} in
      'value(status)') cat "$state/status" 2>/dev/null || echo RUNNING ;;
      'value(currentMasterVersion)') cat "$state/version" 2>/dev/null || echo 1.37.1-gke.1000000 ;;
      'value(state)') echo ACTIVE ;;
      'value(address)') echo 203.0.113.7 ;;
      'value(dnsResourceRecord.name)') echo _acme.codex.example.com. ;;
      'value(dnsResourceRecord.data)') echo abc.authorize.certificatemanager.goog. ;;
      'value(networkConfig.enableFqdnNetworkPolicy)') cat "$state/fqdn" 2>/dev/null || true ;;
      *pscAutoConnection*) printf 'CONNECTION_TYPE_READER\t10.40.0.3\nCONNECTION_TYPE_PRIMARY\t10.40.0.2\n' ;;
    esac
    ;;
  *' create' | *' create-auto')
    if is_there "$thing"; then refuse "$thing is there: made twice"; fi
    printf '%s\n' "$*" >"$(key_of "$thing")"
    ;;
  *' update')
    is_there "$thing" || refuse "$thing is not there"
    [[ -z ${flag[--enable-fqdn-network-policy]:-} ]] || echo True >"$state/fqdn"
    if [[ -n ${flag[--no-delete-protection]:-}${flag[--no-deletion-protection-enabled]:-} ]]; then
      echo unprotected >"$(key_of "$thing")"
    fi
    ;;
  *' delete')
    is_there "$thing" || refuse "$thing is not there"
    ! grep -q -e --delete-protection -e --deletion-protection-enabled "$(key_of "$thing")" || refuse "$thing is protected"
    if [[ $group == 'compute networks' ]]; then
      ! compgen -G "$state/compute+networks+subnets+*" >/dev/null || refuse 'resourceInUse by a subnetwork'
      ! compgen -G "$state/compute+routers+*" >/dev/null || refuse 'in use by a router'
    fi
    if [[ $group == 'compute networks subnets' ]] && is_there 'container clusters codex'; then refuse 'in use by the cluster'; fi
    rm "$(key_of "$thing")"
    ;;
  *) refuse "the fake does not know: $line" ;;
esac
