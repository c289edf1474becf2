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
	seen := course{task: created.Task}
	for {
		err = watch(ctx, tasks, &seen)
		if status.Code(err) != codes.Unavailable {
			break
		}
		fmt.Println("the stream broke, going on:", status.Convert(err).Message())
		time.Sleep(time.Second)
	}
	if err == nil && seen.task.State != pb.Task_STATE_SUCCEEDED {
		err = outcome(seen.task)
	}
	return err
}

// What became of a task that has not succeeded. Only one that failed has an error; others may have a reason.
func outcome(task *pb.Task) error {
	for _, why := range []string{task.GetError().GetMessage(), task.StateReason} {
		if why != "" {
			return fmt.Errorf("%s %s: %s", task.Name, task.State, why)
		}
	}
	return fmt.Errorf("%s %s", task.Name, task.State)
}

// What was told of a task so far, and where a stream of it goes on.
type course struct {
	task  *pb.Task
	token string
}

// Follows a task from where a stream has broken until it has ended. No deadline: heartbeats tell that the stream lives.
func watch(ctx context.Context, tasks pb.TaskServiceClient, seen *course) error {
	request := &pb.WatchTaskRequest{Name: seen.task.Name, ResumeToken: seen.token}
	stream, err := tasks.WatchTask(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		seen.token = message.ResumeToken
		switch event := message.Event.(type) {
		case *pb.WatchTaskResponse_Task:
			seen.task = event.Task
			fmt.Println(event.Task.Name, event.Task.State)
		case *pb.WatchTaskResponse_Progress:
			fmt.Printf("%s %.0f %%\n", event.Progress.Phase, 100*event.Progress.Fraction)
		}
	}
}

func explain(err error) {
	told, ok := status.FromError(err)
	if !ok {
		fmt.Println(err)
		return
	}
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
