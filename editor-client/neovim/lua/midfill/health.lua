--- `:checkhealth midfill`
local config = require('midfill.config')
local keys = require('midfill.keys')
local server = require('midfill.server')

local M = {}

local INSTALL = {
  'Install midfill into any Python 3.11 or newer: pip install midfill',
  "Or tell where it is: require('midfill').setup({ cmd = { '/path/to/midfill', 'lsp' } })",
}

local function check_editor()
  if vim.fn.has('nvim-0.10') == 1 then
    vim.health.ok('Neovim ' .. tostring(vim.version()))
  else
    vim.health.error('Neovim is older than 0.10', { 'Take a newer one' })
  end
  if vim.lsp.inline_completion then
    vim.health.info('This Neovim shows inline completions by itself, too: :help midfill-native')
  end
end

local function check_program()
  local program = config.options.cmd[1]
  if vim.fn.executable(program) == 0 then
    return vim.health.error(('%s is not an executable'):format(program), INSTALL)
  end
  local done = vim.system({ program, '--version' }, { text = true }):wait(20000)
  if done.code == 0 then
    vim.health.ok(('%s: %s'):format(vim.fn.exepath(program), vim.trim(done.stdout)))
  else
    vim.health.warn(('%s --version ended with %d: %s'):format(program, done.code, vim.trim(done.stderr)))
  end
end

local function check_server()
  local status = server.status
  local text = ('%s %s %s'):format(status.state, status.model, status.message)
  if status.state == 'error' then
    vim.health.error(text, { 'See the log: :lua print(vim.lsp.get_log_path())', ':Midfill restart' })
  elseif server.client() then
    vim.health.ok(('process for client %d: %s'):format(server.client().id, text))
  else
    vim.health.info('no server: it starts with the first file that has a filetype')
  end
end

local function check_keys()
  local taken = keys.taken(vim.api.nvim_get_current_buf())
  if #taken > 0 then
    vim.health.info('keys without midfill in this buffer: ' .. table.concat(taken, ' '))
  end
end

--- Checks of this machine, with what to do.
function M.check()
  vim.health.start('midfill')
  check_editor()
  check_program()
  check_server()
  check_keys()
end

return M
