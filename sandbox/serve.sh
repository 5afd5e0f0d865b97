# For demonstrations, to be sourced: serve FOLDER [OPTION…] starts a platform on this machine that
# stops with the script, and sets the variables by which it is reached.
serve() {
  folder=$1
  shift
  rm -f "$folder/sandbox.env" # of a former run, whose ports nobody listens at any more
  mkdir -p "$folder"
  python -m sandbox --folder "$folder/products" --ready "$folder/sandbox.env" "$@" \
    > "$folder/sandbox.log" &
  sandbox=$!
  trap 'kill "$sandbox" 2> "$folder/kill.log" || true; rm -f "$folder/kill.log"' EXIT

  echo "Starting a Copernicus Data Space on 127.0.0.1 (its log: $folder/sandbox.log)"
  until [ -e "$folder/sandbox.env" ]; do
    kill -0 "$sandbox" || exit 1
    sleep 0.1
  done
  . "$folder/sandbox.env"
}
