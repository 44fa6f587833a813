--- The language server: one process for all buffers, started again a few times if it ends by itself.
local config = require('midfill.config')

local M = {}

M.name = 'midfill'

local RESTART_MS = 500
--- Doubled for each restart; one that served this long starts counting anew.
local STABLE_MS = 10 * 60 * 1000

---@class midfill.Status
---@field state 'off'|'loading'|'ready'|'thinking'|'error'
---@field message string
---@field model string
---@field progress number?
local OFF = { state = 'off', message = '', model = '' }

---@type midfill.Status
M.status = OFF
---@type fun(token: string|integer, value: table) what is done with partial results
M.on_partial = function() end
---@type fun() what is done when a server is gone, wanted or not
M.on_gone = function() end
---@type fun() what is done when the model is loaded
M.on_loaded = function() end

local state = {
  client_id = nil, ---@type integer?
  buffers = {}, ---@type table<integer, true> those that are served, or will be
  folders = {}, ---@type table<string, true> that the server was told of
  restarts = 0,
  started = 0, ---@type integer in milliseconds
}

--- Neovim 0.10 has functions where 0.11 has methods.
local function call(client, method, ...)
  if vim.fn.has('nvim-0.11') == 1 then
    return client[method](client, ...)
  end
  return client[method](...)
end

--- The client, if there is one that runs.
---@return vim.lsp.Client?
function M.client()
  return state.client_id and vim.lsp.get_client_by_id(state.client_id) or nil
end

--- Send a request.
---@param method string
---@param params table
---@param handler fun(err: table?, result: any)
---@param bufnr integer
---@return integer? its number, for `cancel`; nil if there is no server
function M.request(method, params, handler, bufnr)
  local client = M.client()
  if not client or not client.initialized then
    return nil
  end
  local is_sent, number = call(client, 'request', method, params, handler, bufnr)
  return is_sent and number or nil
end

--- Take a request back.
---@param number integer?
function M.cancel(number)
  local client = M.client()
  if client and number then
    call(client, 'cancel_request', number)
  end
end

--- Send a notification, if there is a server.
---@param method string
---@param params table
function M.notify(method, params)
  local client = M.client()
  if client and client.initialized then
    call(client, 'notify', method, params)
  end
end

local function set_status(status)
  local was_loading = M.status.state == 'loading'
  M.status = status
  if was_loading and status.state == 'ready' then
    M.on_loaded()
  end
  vim.api.nvim_exec_autocmds('User', { pattern = 'MidfillStatus', modeline = false, data = status })
  vim.cmd.redrawstatus({ bang = true })
end

local function capabilities()
  local made = vim.lsp.protocol.make_client_capabilities()
  made.textDocument.inlineCompletion = { dynamicRegistration = false }
  return made
end

--- Takes our partial results; everything else goes where it always goes.
local function progress(err, params, context, ...)
  if type(params.token) == 'string' and vim.startswith(params.token, M.name .. '/') then
    return M.on_partial(params.token, params.value)
  end
  return vim.lsp.handlers['$/progress'](err, params, context, ...)
end

local function add_folder(root)
  if root and not state.folders[root] then
    state.folders[root] = true
    local folder = { uri = vim.uri_from_fname(root), name = vim.fs.basename(root) }
    M.notify('workspace/didChangeWorkspaceFolders', { event = { added = { folder }, removed = {} } })
  end
end

local function restart_after(delay)
  vim.defer_fn(function()
    local buffers = state.buffers
    state.buffers = {}
    for bufnr in pairs(buffers) do
      M.attach(bufnr)
    end
  end, delay)
end

--- Start again what ended by itself, but not for ever.
local function gone(code, signal)
  state.client_id = nil
  M.on_gone()
  if vim.uv.now() - state.started > STABLE_MS then
    state.restarts = 0
  end
  local text = ('the server ended (code %d, signal %d)'):format(code, signal)
  if state.restarts < config.options.restarts then
    set_status({ state = 'loading', message = text .. '; it starts again', model = '' })
    restart_after(RESTART_MS * 2 ^ state.restarts)
    state.restarts = state.restarts + 1
  else
    text = text .. ' too often; see :checkhealth midfill, then :Midfill restart'
    set_status({ state = 'error', message = text, model = '' })
    vim.notify('midfill: ' .. text, vim.log.levels.ERROR)
  end
end

local function start(bufnr, root)
  state.started = vim.uv.now()
  state.folders = root and { [root] = true } or {}
  return vim.lsp.start({
    name = M.name,
    cmd = config.options.cmd,
    root_dir = root,
    settings = { midfill = config.options.settings },
    init_options = config.options.settings,
    capabilities = capabilities(),
    flags = { debounce_text_changes = 0 },
    handlers = {
      ['$/progress'] = progress,
      ['midfill/status'] = function(_, status)
        set_status(status)
      end,
    },
    on_exit = function(code, signal, id)
      vim.schedule(function()
        if id == state.client_id and vim.v.exiting == vim.NIL then -- else it was asked to end
          gone(code, signal)
        end
      end)
    end,
  }, {
    bufnr = bufnr,
    reuse_client = function()
      return false
    end,
  })
end

--- Serve a buffer, with a new server if there is none.
---@param bufnr integer
function M.attach(bufnr)
  if not vim.api.nvim_buf_is_loaded(bufnr) then
    return
  end
  state.buffers[bufnr] = true
  local root = vim.fs.root(bufnr, config.options.root_markers)
  local client = M.client()
  if client then
    vim.lsp.buf_attach_client(bufnr, client.id)
    add_folder(root)
  elseif vim.fn.executable(config.options.cmd[1]) == 1 then
    state.client_id = start(bufnr, root)
  else
    local text = ('%s is not an executable; see :checkhealth midfill'):format(config.options.cmd[1])
    set_status({ state = 'error', message = text, model = '' })
  end
end

--- Serve a buffer no more.
---@param bufnr integer
function M.detach(bufnr)
  state.buffers[bufnr] = nil
  local client = M.client()
  if client and vim.lsp.buf_is_attached(bufnr, client.id) then
    vim.lsp.buf_detach_client(bufnr, client.id)
  end
end

--- End the server; nothing starts it again but `attach` or `restart`.
function M.stop()
  local client = M.client()
  state.client_id = nil
  M.on_gone()
  set_status(OFF)
  if client then
    call(client, 'stop')
  end
end

--- End the server and start another one for the same buffers, however often that was done before.
function M.restart()
  state.restarts = 0
  M.stop()
  restart_after(0)
end

return M
