// SPDX-License-Identifier: GPL-3.0-or-later

// A gRPC server that answers every unary call with the same bytes, so that it is the client that is measured.
//
// usage: grpc_server PORT FILE   (FILE holds the serialised answer)
package main

import (
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
)

// raw hands messages through as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) { return *(v.(*[]byte)), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*(v.(*[]byte)) = append([]byte(nil), data...)
	return nil
}

func main() {
	answer, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	encoding.RegisterCodec(raw{})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	handle := func(_ any, stream grpc.ServerStream) error {
		var asked []byte
		if err := stream.RecvMsg(&asked); err != nil {
			return err
		}
		return stream.SendMsg(&answer)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(handle))
	fmt.Println("ready")
	panic(server.Serve(listener))
}
