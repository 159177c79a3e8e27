
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
