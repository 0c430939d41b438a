#!/bin/sh
for t in /etc/nginx/templates/*.template; do
  name=${t##*/}
  sed "s/\${NGINX_PORT}/$NGINX_PORT/" "$t" > "$NGINX_ENVSUBST_OUTPUT_DIR/${name%.template}"
done
