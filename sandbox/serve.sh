# Source this file: serve FOLDER [OPTION…] starts the sandbox, which stops when the script ends, and
# sets the variables that clients need. After that, write_order FILE writes a job order.
serve() {
  folder=$1
  shift
  rm -f "$folder/sandbox.env" # that of an earlier run contains its ports
  mkdir -p "$folder"
  test -e "$folder/products" || echo "The sandbox makes a synthetic product first (up to a minute)"
  python -m sandbox --folder "$folder/products" --ready "$folder/sandbox.env" "$@" \
    > "$folder/sandbox.log" &
  sandbox=$!
  # Only an exit runs the next trap.
  trap 'exit 129' HUP
  trap 'exit 141' PIPE
  trap 'exit 143' TERM
  trap 'kill "$sandbox" 2> "$folder/kill.log" || true; rm -f "$folder/kill.log"' EXIT

  echo "Starting the sandbox, an imitation of CDSE, on 127.0.0.1 (log: $folder/sandbox.log)"
  until [ -e "$folder/sandbox.env" ]; do
    kill -0 "$sandbox" || exit 1
    sleep 0.1
  done
  . "$folder/sandbox.env"
}

# Write a job order for the sandbox's product. Only the user may read it, as it contains a token.
write_order() {
  touch "$1"
  chmod 600 "$1"
  cat > "$1" << END
item: $SANDBOX_ITEM
access_token: $CDSE_ACCESS_TOKEN
END
}
