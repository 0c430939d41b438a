FROM busybox
COPY . /in
