#!/bin/sh
[ -n "$NGINX_PORT" ]
