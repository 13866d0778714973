%% OTP's own supervisor.erl, under another name, on the virtual clock, and with one order where there is a race. Nothing
%% else of it changes.
-module(otp_supervisor_patch).

-export([load/1]).

%% {what it is for, what stands in the source, what stands there instead}; the second must be found exactly once.
replacements() ->
    [{"its name: the original goes on serving OTP itself",
      "-module(supervisor).",
      "-module(otp_supervisor)."},
     {"its process calls the renamed module, and runs before the driver does",
      "gen_server:start_link(supervisor, {self, Mod, Args}, []).",
      "gen_server:start_link(otp_supervisor, {self, Mod, Args}, [{spawn_opt, [{priority, max}]}])."},
     {"the restart window reads the virtual clock",
      "Now = erlang:monotonic_time(1),",
      "Now = virtual_clock:seconds(),"},
     {"a polite stop starts a virtual timer ...",
      "    exit(Pid, shutdown),\n"
      "    receive\n"
      "        {'DOWN', Mon, process, Pid, Reason0} ->\n",
      "    exit(Pid, shutdown),\n"
      "    Timer = virtual_clock:start_timer(Time, self(), Mon),\n"
      "    receive\n"
      "        {'DOWN', Mon, process, Pid, Reason0} ->\n"
      "            virtual_clock:cancel_timer(Timer),\n"},
     {"... and waits for that",
      "            end\n"
      "    after Time ->\n",
      "            end;\n"
      "        {timeout, Timer, Mon} ->\n"},
     {"so does the stop of dynamic children ...",
      "erlang:start_timer(Time, self(), kill)",
      "virtual_clock:start_timer(Time, self(), kill)"},
     {"... which may cancel it",
      "erlang:cancel_timer(TRef)",
      "virtual_clock:cancel_timer(TRef)"},
     {"what a killed child leaves behind ends before its supervisor goes on ...",
      "    case shutdown(Child) of\n",
      "    Stopped = shutdown(Child),\n"
      "    snakepit_oracle:settle(Child#child.child_type),\n"
      "    case Stopped of\n"},
     {"... and so does what a crashed one leaves behind",
      "\t    do_restart(Reason, Child, State);\n",
      "\t    snakepit_oracle:settle(Child#child.child_type),\n"
      "\t    do_restart(Reason, Child, State);\n"}].

%% Compiled in the given folder, and loaded.
load(Folder) ->
    Source = filename:join([code:lib_dir(stdlib), "src", "supervisor.erl"]),
    case file:read_file(Source) of
        {ok, Original} ->
            Patched = filename:join(Folder, "otp_supervisor.erl"),
            try
                ok = file:write_file(Patched, lists:foldl(fun replace/2, Original, replacements())),
                compile(Patched)
            catch throw:Why -> {error, Why}
            end;
        {error, Reason} ->
            {error, io_lib:format("~ts cannot be read (~tp)", [Source, Reason])}
    end.

compile(Patched) ->
    case compile:file(Patched, [binary, return_errors, {i, filename:join(code:lib_dir(kernel), "include")}]) of
        {ok, otp_supervisor, Beam} ->
            {module, _} = code:load_binary(otp_supervisor, Patched, Beam),
            ok;
        {error, Errors, _} ->
            {error, io_lib:format("the patched supervisor.erl does not compile: ~tp", [Errors])}
    end.

replace({Why, Old, New}, Source) ->
    case binary:matches(Source, list_to_binary(Old)) of
        [_] -> binary:replace(Source, list_to_binary(Old), list_to_binary(New));
        Found -> throw(io_lib:format("supervisor.erl of this OTP holds the place to patch (~ts) ~b times instead of once",
                                     [Why, length(Found)]))
    end.
