# Source this file: serve FOLDER [OPTION…] starts the sandbox, which stops when the script ends, and
# sets the variables that clients need.
serve() {
  folder=$1
  shift
  rm -f "$folder/sandbox.env" # that of an earlier run contains its ports
  mkdir -p "$folder"
  python -m sandbox --folder "$folder/products" --ready "$folder/sandbox.env" "$@" \
    > "$folder/sandbox.log" &
  sandbox=$!
  trap 'kill "$sandbox" 2> "$folder/kill.log" || true; rm -f "$folder/kill.log"' EXIT

  echo "Starting the sandbox, an imitation of CDSE, on 127.0.0.1 (log: $folder/sandbox.log)"
  until [ -e "$folder/sandbox.env" ]; do
    kill -0 "$sandbox" || exit 1
    sleep 0.1
  done
  . "$folder/sandbox.env"
}
