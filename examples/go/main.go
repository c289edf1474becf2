// Runs a graph on a mesh and tells its course. See README.md beside it.
package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example.com/you/gen/comfymesh/v1"
)

// What is safe to repeat, as the mesh says it: docs/service-config.json.
//
//go:embed service-config.json
var serviceConfig string

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: you GRAPH.json")
		os.Exit(2)
	}
	if err := submit(os.Args[1]); err != nil {
		explain(err)
		os.Exit(1)
	}
}

func submit(path string) error {
	graph, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	target := os.Getenv("COMFYMESH_TARGET")
	if target == "" {
		target = "127.0.0.1:7700"
	}
	// With TLS: credentials.NewClientTLSFromFile("ca.pem", "") instead.
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx := context.Background()
	if key := os.Getenv("COMFYMESH_API_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	return run(ctx, pb.NewTaskServiceClient(conn), string(graph))
}

func run(ctx context.Context, tasks pb.TaskServiceClient, graph string) error {
	short, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// With a request id the creation is safe to repeat. Inputs, where any are to be set, go by graph node and name:
	// "5.seed": {Kind: &pb.InputValue_Uint64Value{Uint64Value: 1<<64 - 1}}.
	created, err := tasks.CreateTask(short, &pb.CreateTaskRequest{
		Task:      &pb.Task{GraphJson: graph},
		RequestId: uuid(),
	})
	if err != nil {
		return err
	}
	token := ""
	for {
		token, err = watch(ctx, tasks, created.Task.Name, token)
		if status.Code(err) != codes.Unavailable {
			return err
		}
		fmt.Println("the stream broke, going on:", status.Convert(err).Message())
		time.Sleep(time.Second)
	}
}

// Follows a task from where a stream has broken; answers where this one has. No deadline: heartbeats tell that it lives.
func watch(ctx context.Context, tasks pb.TaskServiceClient, name, token string) (string, error) {
	request := &pb.WatchTaskRequest{Name: name, ResumeToken: token}
	stream, err := tasks.WatchTask(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return token, err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return token, nil
		}
		if err != nil {
			return token, err
		}
		token = message.ResumeToken
		switch event := message.Event.(type) {
		case *pb.WatchTaskResponse_Task:
			fmt.Println(event.Task.Name, event.Task.State)
		case *pb.WatchTaskResponse_Progress:
			fmt.Printf("%s %.0f %%\n", event.Progress.Phase, 100*event.Progress.Fraction)
		}
	}
}

func explain(err error) {
	told := status.Convert(err)
	fmt.Println(told.Code(), told.Message())
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Println("reason:", detail.Reason, detail.Metadata)
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				fmt.Println("  ", violation.Field+":", violation.Description)
			}
		case *errdetails.RetryInfo:
			fmt.Println("again in", detail.RetryDelay.AsDuration())
		}
	}
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
