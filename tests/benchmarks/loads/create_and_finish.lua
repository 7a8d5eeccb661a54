-- Creates jobs, and completes each when its id is known.
local ids, free, create = {}, 0, nil
local headers = { ["Content-Type"] = "application/json" }

-- Only now the name of the host is known.
function init() create = wrk.format("POST", "/jobs", headers, "{}") end

function request()
  if free == 0 then return create end
  local id = ids[free]
  free = free - 1
  return wrk.format("PATCH", "/jobs/" .. id, headers, '{"result":"completed"}')
end

function response(status, _, body)
  if status == 201 then
    free = free + 1
    ids[free] = body:match('"id": ?"([^"]+)"')
  end
end
