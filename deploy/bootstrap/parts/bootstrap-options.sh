
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
