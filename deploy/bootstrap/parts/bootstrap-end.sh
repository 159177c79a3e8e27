
# ── The settings of the overlay, and what comes next ─────────────────────────────────────────────────────────────

overlay="$DEPLOY/overlays/gke-$PROFILE"

settings() {
  cat <<SETTINGS
# Written by deploy/bootstrap/bootstrap.sh. It holds no secret.
PROJECT=$PROJECT
REGION=$REGION
DOMAIN=$DOMAIN
DATABASE=codex
BUCKET=$PROJECT-codex-snapshots
REDIS_HOST=${REDIS_HOST:-codex-redis}
SETTINGS
}

step_name=settings
if ((dry_run)); then
  printf '\n# settings: written to %s\n' "$overlay/settings.env"
  settings | sed 's/^/#   /'
elif [[ -f $overlay/settings.env ]] && settings | cmp -s - "$overlay/settings.env"; then
  say "settings: $overlay/settings.env is as it should be"
else
  mkdir -p -- "$overlay"
  # Readable for all, as a file of a repository is: our own files are not.
  (umask 022 && settings >"$overlay/settings.env")
  say "settings: written to $overlay/settings.env"
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
cat <<NEXT

# Next, from the root of the repository: the images, then the fleet.
gcloud builds submit --config=deploy/cloudbuild.yaml --region=$REGION --project=$PROJECT --service-account=projects/$PROJECT/serviceAccounts/codex-build@$PROJECT.iam.gserviceaccount.com --gcs-source-staging-dir=gs://$PROJECT-codex-build/source --substitutions=_REGION=$REGION
gcloud container clusters get-credentials codex --location=$REGION --project=$PROJECT --dns-endpoint
kubectl apply --kustomize=deploy/overlays/gke-$PROFILE
kubectl rollout status deployment/codex-gateway --namespace=codex --timeout=15m
# The certificate is ready some minutes after its record can be seen:
gcloud certificate-manager certificates describe codex-cert --project=$PROJECT '--format=value(managed.state)'
# The token of the first caller:
gcloud secrets versions access latest --secret=codex-tokens --project=$PROJECT
NEXT
