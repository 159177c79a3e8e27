
if ((${#kept[@]})); then
  say ''
  say 'These stay, and cost what they hold. --delete-data removes them:'
  printf '  %s\n' "${kept[@]}"
fi
if ! ((dry_run)); then
  say ''
  if ((steps_made)); then say "$steps_made commands removed something."; else say 'There was nothing to remove.'; fi
fi
