module grpc_server

go 1.23

require google.golang.org/grpc v1.70.0
