
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
